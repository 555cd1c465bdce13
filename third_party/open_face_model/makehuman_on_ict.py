"""MakeHuman's head, registered to ICT-FaceKit's: carries skins, masks and displacements over."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse

from fml_jax.face_model.subdivision import catmull_clark, subdivide_uv, triangulate
from fml_jax.face_model.surfaces import Mesh, closest_on_surface
from fml_jax.importers.registration import Points, Transfer, register, transfer
from fml_jax.photos.landmarks import IBUG_FROM_MEDIAPIPE
from third_party.open_face_model.head_mesh import (
    EYE,
    LINING,
    MM_PER_UNIT,
    SKIN,
    BaseMesh,
    HeadMesh,
    cut_head,
    read_base_mesh,
    straighten_neck,
)
from third_party.open_face_model.inputs import GeometryPackage
from third_party.open_face_model.landmark_embedding import Surface, seen_landmarks
from third_party.open_face_model.skins import sample_texture

# MediaPipe's numbers of the face's outline, which rests on the silhouette and so on no fixed place.
OVAL = frozenset(
    [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377]
    + [152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
)
INNER_MOUTH_CORNERS = (60, 64)
EYES_AND_MOUTH = range(36, 68)  # of iBUG's points: where ICT-FaceKit's own landmarks are exact
CENTRE = np.array([0.0, 5.0, 60.0])  # mm: of the target's head, for pictures
EYE_COLOUR = (0.15, 0.75)  # iris and sclera, so that a detector recognises the eyes


@dataclass(frozen=True)
class Target:
    """The head that MakeHuman's is registered to."""

    vertices: np.ndarray  # [N, 3] mm
    triangles: np.ndarray  # [T, 3]
    parts: np.ndarray  # [T] SKIN, LINING or EYE
    ears: np.ndarray  # [N] bool
    landmarks68: np.ndarray  # [68] vertices


@dataclass(frozen=True)
class RegisteredHead:
    """MakeHuman's standard mesh (one Catmull–Clark step of its head), and where it lies on ICT-FaceKit's."""

    base: BaseMesh
    mesh: HeadMesh
    operator: sparse.csr_matrix  # [S, Nc] control mesh to standard mesh
    uv: np.ndarray  # [S, 2]
    registered: np.ndarray  # [S, 3] mm, on the target
    triangles: np.ndarray  # [T, 3] of the skin
    scale: float  # target's size over MakeHuman's

    def transfer(self, points: np.ndarray, normals: np.ndarray) -> Transfer:
        """Carries values on the standard mesh to points with normals on the target, [M, 3] each."""
        return transfer(Mesh(self.registered, self.triangles), points, normals)


def register_makehuman(package: GeometryPackage, textures: list[np.ndarray], target: Target) -> RegisteredHead:
    """Finds landmarks on renders of both heads, and bends MakeHuman's onto the target."""
    base = read_base_mesh(package)
    mesh = cut_head(base)
    operator, quads = catmull_clark(mesh.quads, mesh.operator.shape[0])
    fine_uv, fine_uv_quads = subdivide_uv(mesh.uv, mesh.uv_quads)
    uv = uv_of_vertices(fine_uv, quads, fine_uv_quads, operator.shape[0])
    vertices = operator @ (straighten_neck(mesh, mesh.operator @ base.vertices) * MM_PER_UNIT)
    triangles, parts = triangulate(quads), np.repeat(mesh.parts, 8)
    is_eye = touched(triangles[parts == EYE], len(vertices))
    goal_eye = touched(target.triangles[target.parts == EYE], len(target.vertices))
    vertices = vertices - vertices[is_eye].mean(0) + target.vertices[goal_eye].mean(0)
    skin_colour = np.mean([sample_texture(texture, uv) for texture in textures], axis=0)
    painted = with_eyes(skin_colour, vertices, is_eye)
    points, contour = (
        found + CENTRE for found in seen_landmarks(Surface(vertices - CENTRE, triangles, parts), painted)
    )
    goal, goal_contour = _target_landmarks(target)
    ears = sample_texture(package.mask("ears"), uv)[:, 0] > 0.5
    skin = touched(triangles[parts == SKIN], len(vertices))
    extremes = _extremes(vertices, ears, skin, points[[61, 291], 1].mean())
    goal_skin = touched(target.triangles[target.parts == SKIN], len(target.vertices))
    goal_extremes = _extremes(
        target.vertices, target.ears, goal_skin, target.vertices[target.landmarks68[[48, 54]], 1].mean()
    )
    inner = [number for number in range(468) if number not in OVAL]
    seen = np.concatenate([points[inner], contour])
    wanted = np.concatenate([goal[inner], goal_contour])
    both = np.isfinite(seen).all(1) & np.isfinite(wanted).all(1)
    corners, weights = closest_on_surface(seen[both], vertices, triangles[parts == SKIN])
    corners = np.concatenate([corners, np.repeat(extremes[:, None], 3, axis=1)])
    weights = np.concatenate([weights, np.tile([1.0, 0, 0], (len(extremes), 1))])
    wanted = np.concatenate([wanted[both], target.vertices[goal_extremes]])
    free = ~skin | touched(triangles[parts == LINING], len(vertices))
    registered = register(
        Mesh(vertices, triangles),
        Mesh(target.vertices, target.triangles[target.parts == SKIN]),
        Points(corners, weights, wanted),
        free=free,
    )
    scale = np.sqrt(wanted.var(0).sum() / (vertices[corners] * weights[..., None]).sum(1).var(0).sum())
    return RegisteredHead(base, mesh, operator, uv, registered, triangles[parts == SKIN], float(scale))


def _target_landmarks(target):
    """MediaPipe's points [478, 3] and the contour [17, 3] on the target; ICT-FaceKit's own where they are better."""
    is_eye = touched(target.triangles[target.parts == EYE], len(target.vertices))
    grey = np.tile([0.75, 0.55, 0.45], (len(target.vertices), 1))
    surface = Surface(target.vertices - CENTRE, target.triangles, target.parts)
    painted = with_eyes(grey, target.vertices, is_eye)
    points, contour = (found + CENTRE for found in seen_landmarks(surface, painted))
    for number in EYES_AND_MOUTH:
        if number not in INNER_MOUTH_CORNERS:
            points[IBUG_FROM_MEDIAPIPE[number]] = target.vertices[target.landmarks68[number]]
    return points, contour


def _extremes(vertices, ears, skin, mouth_height):
    """Vertices that lie farthest: of each ear outwards, up, down and back; of the chin downwards and forwards."""
    found = []
    for side in (1, -1):
        ear = ears & (side * vertices[:, 0] > 0)
        found += [
            _farthest(vertices, ear, direction) for direction in ((side, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, -1))
        ]
    chin = skin & (vertices[:, 1] < mouth_height - 15) & (vertices[:, 1] > mouth_height - 60)
    found += [_farthest(vertices, chin, direction) for direction in ((0, -1, 1), (0.5, -0.8, 0.6), (-0.5, -0.8, 0.6))]
    return np.array(found)


def _farthest(vertices, mask, direction):
    numbers = np.flatnonzero(mask)
    return numbers[(vertices[numbers] @ np.array(direction)).argmax()]


def touched(triangles: np.ndarray, count: int) -> np.ndarray:
    """[count] bool: the vertices of triangles."""
    mask = np.zeros(count, bool)
    mask[triangles] = True
    return mask


def uv_of_vertices(uv: np.ndarray, quads: np.ndarray, uv_quads: np.ndarray, count: int) -> np.ndarray:
    """[count, 2] one texture coordinate a vertex: the first quad's on a seam."""
    of_vertex = np.zeros((count, 2))
    of_vertex[quads.ravel()[::-1]] = uv[uv_quads.ravel()[::-1]]
    return of_vertex


def with_eyes(colours: np.ndarray, vertices: np.ndarray, is_eye: np.ndarray) -> np.ndarray:
    """[N, 3] colours with plain irises."""
    painted = colours.copy()
    for side in (1, -1):
        ball = is_eye & (side * vertices[:, 0] > 0)
        centre = (vertices[ball].min(0) + vertices[ball].max(0)) / 2
        radius = np.linalg.norm((vertices - centre)[:, :2], axis=1)
        painted[ball] = np.where(radius[ball, None] < 6, *EYE_COLOUR)
    return painted
