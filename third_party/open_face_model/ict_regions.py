"""Regions of the second edition's mesh: the first edition's, with lips, lids and eyes from the topology."""

from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from fml_jax.face_model.surfaces import vertex_normals
from fml_jax.image_formation.plain_pictures import View
from fml_jax.image_formation.raster import rasterize
from third_party.open_face_model.head_mesh import EYE, LINING
from third_party.open_face_model.ict_head import MERIDIANS, Head
from third_party.open_face_model.openings import CONTACT_RING, LID_MARGIN_RING, Openings
from third_party.open_face_model.regions import Eyeball, Regions, inside_polygon, smooth_step

NARROW_FACE = 6706  # ICT-FaceKit's "narrow face": without ears, throat and scalp
VERMILION_RINGS = 13  # rings of the mouth that are lips, the inside included
OCCLUSION_VIEWS = 96


class IctRegions(Regions):
    """Masks and soft areas of the second edition's standard mesh, all [N].

    Args:
      head, openings: the mesh and its mouth and eyes.
      occlusion: [N] the share of directions above the surface from which a vertex is hidden.
    """

    def __init__(self, vertices, head: Head, openings: Openings, *, ears, hair, landmarks, adjacency, occlusion):
        count = len(vertices)
        self._openings, self._head, self.occlusion = openings, head, occlusion
        lips = np.zeros(count)
        lips[openings.mouth.grid[:VERMILION_RINGS]] = 1
        lips[openings.mouth.grid[VERMILION_RINGS]] = 0.6
        lips[openings.mouth.grid[VERMILION_RINGS + 1]] = 0.15
        inside = np.zeros(count, bool)
        inside[openings.mouth.grid[:CONTACT_RING]] = True
        parts = {LINING: inside, EYE: head.vertices_of(EYE)}
        super().__init__(vertices, parts, ears, lips, hair, landmarks, adjacency)
        self.lips = lips

    def names_and_masks(self) -> dict[str, np.ndarray]:
        """The first edition's regions and the inside of the mouth."""
        return super().names_and_masks() | {"mouth": self.is_lining}

    def _mouth_inside(self):
        inside = np.zeros(len(self._vertices))
        rings = self._openings.mouth.grid
        inside[rings[: CONTACT_RING - 2]] = 1
        inside[rings[CONTACT_RING - 2]] = 0.7
        inside[rings[CONTACT_RING - 1]] = 0.35
        inside[rings[CONTACT_RING]] = 0.12
        return inside

    @cached_property
    def face(self):
        """The narrow face without hair, throat, the inside of the lips and hidden vertices, and the open eyes."""
        outer = np.zeros(len(self._vertices), bool)
        outer[:NARROW_FACE] = True
        outer &= ~(self.is_lining | self.neck | self.scalp) & (self.occlusion < 0.93)
        return outer | (self.is_eye & self._between_lids())

    @cached_property
    def nostrils(self):
        """From 0 to 1: the insides of the nostrils."""
        x, y, z = self._vertices.T
        base = self._landmarks[2]
        near = (np.abs(x) < 20) & (y > base[1] - 8) & (y < base[1] + 16) & (z > base[2] - 28) & self._outer
        return np.where(near, smooth_step(self.occlusion, 0.6, 0.8), 0.0)

    @cached_property
    def skin(self):
        """Facial skin that never bears hair and varies little (eq. 14)."""
        return super().skin & (self.nostrils < 0.05) & (self.lash_line < 0.05)

    @cached_property
    def lash_line(self):
        """From 0 to 1: the front edges of the lids' margins, the upper one stronger."""
        line = np.zeros(len(self._vertices))
        for eye in self._openings.eyes:
            for columns, strength in ((eye.upper, 1.0), (eye.lower, 0.55)):
                line[eye.grid[LID_MARGIN_RING, columns]] = 0.6 * strength
                line[eye.grid[LID_MARGIN_RING + 1, columns]] = strength
                line[eye.grid[LID_MARGIN_RING + 2, columns]] = 0.35 * strength
        return line

    @cached_property
    def lid_margins(self):
        """From 0 to 1: the moist edges of the lids."""
        margin = np.zeros(len(self._vertices))
        for eye in self._openings.eyes:
            margin[eye.grid[:LID_MARGIN_RING]] = 1
            margin[eye.grid[LID_MARGIN_RING]] = 0.4
        return margin

    @cached_property
    def eyeballs(self) -> list[Eyeball]:
        """Both eyeballs; the gaze axis is that of their rings."""
        balls = []
        for ball, eye in zip(self._head.eyeballs, self._openings.eyes, strict=True):
            points = self._vertices[ball]
            pupil = points[:MERIDIANS].mean(0)
            axis = pupil - points[-MERIDIANS:].mean(0)
            axis /= np.linalg.norm(axis)
            across = points - pupil - np.outer((points - pupil) @ axis, axis)
            shade = np.zeros(len(ball))
            for columns, reach, strength in ((eye.upper, 4.5, 1.0), (eye.lower, 2.0, 0.7)):
                margin = self._vertices[eye.grid[LID_MARGIN_RING, columns]]
                distance = cKDTree(margin).query(points)[0]
                shade = np.maximum(shade, strength * (1 - smooth_step(distance, 0.3, reach)))
            shade = np.where(self._between_lids()[ball], shade, 1.0)
            balls.append(Eyeball(ball, np.linalg.norm(across, axis=1), shade))
        return balls

    def _between_lids(self):
        """Eyeball vertices that the open lids leave free."""
        visible = np.zeros(len(self._vertices), bool)
        for ball, eye in zip(self._head.eyeballs, self._openings.eyes, strict=True):
            polygon = self._vertices[eye.grid[LID_MARGIN_RING], :2]
            visible[ball] = inside_polygon(polygon, self._vertices[ball, :2])
        return visible


def occlusion(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[N] share of the directions above each vertex's tangent plane from which the vertex is hidden."""
    normals = vertex_normals(vertices, triangles)
    hidden, total = np.zeros(len(vertices)), np.zeros(len(vertices))
    golden = np.pi * (3 - np.sqrt(5))
    for number in range(OCCLUSION_VIEWS):
        height = 1 - 2 * (number + 0.5) / OCCLUSION_VIEWS
        yaw, pitch = np.degrees(golden * number) % 360, np.degrees(np.arcsin(height))
        view = View(yaw, pitch, 900)
        pixels, depth = view.project(vertices)
        triangle_index, barycentric = rasterize(pixels, depth, triangles, height=view.size, width=view.size)
        seen_depth = np.where(triangle_index >= 0, (depth[triangles[triangle_index]] * barycentric).sum(-1), np.inf)
        x, y = np.clip(np.rint(pixels).astype(int), 0, view.size - 1).T
        towards = (normals @ view.rotation().T)[:, 2]
        weight = np.maximum(towards, 0)
        hidden += weight * (depth > seen_depth[y, x] + 1.0)
        total += weight
    return hidden / np.maximum(total, 1e-9)
