"""The control mesh: MakeHuman's head with neck, mouth lining, lids and eyeballs, as quads with texture coordinates."""

from dataclasses import dataclass
from functools import reduce

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.csgraph import connected_components

from fml_jax.face_model.subdivision import catmull_clark, subdivide_uv
from third_party.open_face_model.inputs import GeometryPackage

MM_PER_UNIT = 100.0  # MakeHuman's unit is the decimetre
NECK_CUT = (6.13, -0.35)  # decimetres: the neck ends on the plane y = 6.13 − 0.35 z, square to its axis
LID_RINGS = 1  # rows of quads kept behind the lids' edges, where the sockets begin
EYEBALLS = ("helper-l-eye", "helper-r-eye")
SKIN, LINING, EYE = range(3)  # parts of the control mesh: skin, inner mouth and sockets, eyeballs


@dataclass(frozen=True)
class BaseMesh:
    """MakeHuman's whole base mesh, quads only."""

    vertices: np.ndarray  # [V, 3] decimetres
    uv: np.ndarray  # [M, 2]
    quads: np.ndarray  # [Q, 4] into vertices
    uv_quads: np.ndarray  # [Q, 4] into uv
    groups: np.ndarray  # [Q] group names


@dataclass(frozen=True)
class HeadMesh:
    """The control mesh of the face model.

    `operator` [Nc, V] takes MakeHuman's vertices (or a target's displacements) to it: a selection
    for the skin, one Catmull–Clark step for the eyeballs, which are too coarse to paint an iris on.
    """

    operator: sparse.csr_matrix
    quads: np.ndarray  # [Q, 4]
    parts: np.ndarray  # [Q] SKIN, LINING or EYE
    uv: np.ndarray  # [M, 2]
    uv_quads: np.ndarray  # [Q, 4]

    def vertices_of(self, part: int) -> np.ndarray:
        """[Nc] bool: the vertices of a part's quads."""
        mask = np.zeros(self.operator.shape[0], bool)
        mask[self.quads[self.parts == part]] = True
        return mask


def read_base_mesh(package: GeometryPackage) -> BaseMesh:
    """Parses the base mesh's Wavefront file."""
    vertices, uv, corners, groups, group = [], [], [], [], ""
    for line in package.base_mesh():
        keyword, *values = line.split() or [""]
        if keyword == "v":
            vertices.append(values[:3])
        elif keyword == "vt":
            uv.append(values[:2])
        elif keyword == "g":
            group = values[0]
        elif keyword == "f":
            corners.append([corner.split("/")[:2] for corner in values])
            groups.append(group)
    indices = np.array(corners, np.int64) - 1
    return BaseMesh(np.array(vertices, float), np.array(uv, float), indices[..., 0], indices[..., 1], np.array(groups))


def cut_head(base: BaseMesh) -> HeadMesh:
    """Chooses the head's quads along the edges of texture charts, and the neck's by a plane."""
    charts = _charts(base)
    body = base.groups == "body"
    crown = base.quads[body, 0][np.argmax(base.vertices[base.quads[body, 0], 1])]
    head = charts == charts[np.argmax((base.quads == crown).any(1) & body)]
    torso = charts == np.bincount(charts[body]).argmax()
    neighbours = np.unique(charts[body & ~head & ~torso & _touches(base, head)])
    mouth, sockets = _mouth_and_sockets(base, charts, neighbours)
    skin = (head | torso) & _above_neck_cut(base.vertices[base.quads].mean(1))
    lining = mouth | _rings(base, head, sockets, LID_RINGS)
    return _assemble(base, skin, lining, _eyeball_fronts(base))


def straighten_neck(mesh: HeadMesh, vertices: np.ndarray) -> np.ndarray:
    """[Nc, 3] with the neck's border, a staircase of quads' sides, moved onto the plane of the cut (up or down)."""
    height, slope = NECK_CUT
    straight = vertices.copy()
    border = neck_border(mesh, vertices)
    straight[border, 1] = height + slope * vertices[border, 2]
    return straight


def neck_border(mesh: HeadMesh, vertices: np.ndarray) -> np.ndarray:
    """The numbers of the vertices on the neck's open border."""
    sides = np.sort(np.stack([mesh.quads, np.roll(mesh.quads, -1, axis=1)], -1).reshape(-1, 2), axis=1)
    edges, faces = np.unique(sides, axis=0, return_counts=True)
    border = np.unique(edges[faces == 1])
    height, slope = NECK_CUT
    near = np.abs(vertices[border, 1] - height - slope * vertices[border, 2]) < 0.25
    return border[near]


def _above_neck_cut(points):
    height, slope = NECK_CUT
    return points[:, 1] > height + slope * points[:, 2]


def _charts(base):
    """The number of the texture chart that each quad belongs to."""
    first = np.repeat(base.uv_quads[:, :1], 4, axis=1).ravel()
    links = sparse.coo_matrix((np.ones(len(first)), (first, base.uv_quads.ravel())), shape=(len(base.uv),) * 2)
    return connected_components(links, directed=False)[1][base.uv_quads[:, 0]]


def _touches(base, chosen):
    mask = np.zeros(len(base.vertices), bool)
    mask[base.quads[chosen]] = True
    return mask[base.quads].any(1)


def _mouth_and_sockets(base, charts, neighbours):
    """Of the charts that meet the head's: the one across the middle is the mouth's, the others are the sockets'."""
    sides = [np.sign(base.vertices[base.quads[charts == chart], 0]) for chart in neighbours]
    across = np.array([side.min() < 0 < side.max() for side in sides])
    return np.isin(charts, neighbours[across]), np.isin(charts, neighbours[~across])


def _rings(base, start, allowed, count):
    """The quads of `allowed` within `count` rows of `start`."""
    grown = reduce(lambda chosen, _: chosen | (allowed & _touches(base, chosen)), range(count), start)
    return grown & allowed & ~start


def _eyeball_fronts(base):
    """The front halves of the eyeballs."""
    fronts = np.zeros(len(base.quads), bool)
    for group in EYEBALLS:
        ball = base.groups == group
        depth = base.vertices[base.quads, 2].mean(1)
        middle = base.vertices[base.quads[ball], 2]
        fronts |= ball & (depth > (middle.min() + middle.max()) / 2)
    return fronts


def _assemble(base, skin, lining, eyes):
    solid = np.concatenate([np.flatnonzero(skin), np.flatnonzero(lining)])
    selection, quads = _select(base.quads[solid], len(base.vertices))
    eye_selection, eye_quads = _select(base.quads[eyes], len(base.vertices))
    refine, eye_quads = catmull_clark(eye_quads, eye_selection.shape[0])
    eye_uv, eye_uv_quads = subdivide_uv(base.uv, base.uv_quads[eyes])
    uv_selection, uv_quads = _select(np.concatenate([base.uv_quads[solid], eye_uv_quads]), len(eye_uv))
    return HeadMesh(
        operator=sparse.vstack([selection, refine @ eye_selection], format="csr"),
        quads=np.concatenate([quads, eye_quads + len(selection.indices)]),
        parts=np.repeat([SKIN, LINING, EYE], [skin.sum(), lining.sum(), len(eye_quads)]),
        uv=uv_selection @ eye_uv,
        uv_quads=uv_quads,
    )


def _select(quads, count):
    """The vertices that quads use, as a selection matrix, and the quads renumbered."""
    used, renumbered = np.unique(quads, return_inverse=True)
    selection = sparse.csr_matrix((np.ones(len(used)), (np.arange(len(used)), used)), shape=(len(used), count))
    return selection, renumbered.reshape(quads.shape)
