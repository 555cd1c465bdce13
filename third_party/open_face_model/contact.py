"""Do lips or lids pass through each other, or lids through the eyeballs? Measured, and resolved."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from fml_jax.face_model.subdivision import triangulate
from third_party.open_face_model.landmark_embedding import closest_on_surface
from third_party.open_face_model.openings import LID_MARGIN_RING, Opening, Openings
from third_party.open_face_model.pictures import vertex_normals

REACH = 8.0  # mm: deeper than this nothing passes
CLEAR = 0.5  # mm over the tangent plane of the nearest vertex: such points are outside
LIP_RINGS = 14  # of the mouth: the lips, inside and outside
ON_BORDER = 0.05  # weight of inner vertices under which a closest point lies on a patch's border


@dataclass(frozen=True)
class Pair:
    """Two surfaces that may touch and must not pass through each other: vertices and triangles of the standard mesh."""

    kind: str  # "lips", "lids" or "eyeball"
    points: np.ndarray  # [P] vertices of one
    triangles: np.ndarray  # [T, 3] of the other, facing outwards

    @cached_property
    def patch(self) -> np.ndarray:
        """The vertices of the other surface."""
        return np.unique(self.triangles)

    @cached_property
    def _local(self):
        return np.searchsorted(self.patch, self.triangles)

    @cached_property
    def _inner(self):
        """[K] bool of the patch's vertices: not on its border."""
        sides = np.sort(self._local[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        edges, uses = np.unique(sides, axis=0, return_counts=True)
        inner = np.ones(len(self.patch), bool)
        inner[edges[uses == 1]] = False
        return inner

    def depths(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How deep each point is under the surface, [P] mm (0 outside), and the way out, unit vectors [P, 3]."""
        surface, points = vertices[self.patch], vertices[self.points]
        depths, out = np.zeros(len(points)), np.zeros((len(points), 3))
        normals = vertex_normals(surface, self._local)
        distance, nearest = cKDTree(surface).query(points, distance_upper_bound=REACH)
        near = np.flatnonzero(distance < REACH)
        height = ((points[near] - surface[nearest[near]]) * normals[nearest[near]]).sum(1)
        near = near[height < CLEAR]
        if not len(near):
            return depths, out
        corners, weights = closest_on_surface(points[near], surface, self._local)
        closest = (surface[corners] * weights[..., None]).sum(1)
        normal = (normals[corners] * weights[..., None]).sum(1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        height = ((points[near] - closest) * normal).sum(1)
        inside = (height < 0) & ((weights * self._inner[corners]).sum(1) > ON_BORDER)
        depths[near] = np.where(inside, -height, 0)
        out[near] = normal
        return depths, out


def contact_pairs(openings: Openings, eyeballs: list[np.ndarray], quads: np.ndarray) -> list[Pair]:
    """The pairs of a head: upper and lower lip, upper and lower lids, lids and eyeballs.

    Args:
      eyeballs: the vertices of the left and the right one.
      quads: of the standard mesh.
    """
    pairs = _between("lips", openings.mouth, slice(0, LIP_RINGS), quads)
    for eye, ball in zip(openings.eyes, eyeballs, strict=True):
        pairs += _between("lids", eye, slice(0, None), quads)
        ball_quads = quads[np.isin(quads, ball).all(1)]
        pairs.append(Pair("eyeball", np.unique(eye.grid[LID_MARGIN_RING:]), triangulate(ball_quads)))
    return pairs


def _between(kind, opening: Opening, rings, quads):
    upper, lower = opening.grid[rings][:, opening.upper], opening.grid[rings][:, opening.lower]
    patches = [triangulate(quads[np.isin(quads, side).all(1)]) for side in (upper, lower)]
    # Columns beside the corners belong to both sides' neighbours: they touch by construction.
    return [
        Pair(kind, np.unique(upper[:, 1:-1]), patches[1]),
        Pair(kind, np.unique(lower[:, 1:-1]), patches[0]),
    ]


def deepest(pairs: list[Pair], vertices: np.ndarray) -> dict[str, float]:
    """The deepest penetration of each kind, mm."""
    found = {pair.kind: 0.0 for pair in pairs}
    for pair in pairs:
        found[pair.kind] = max(found[pair.kind], float(pair.depths(vertices)[0].max()))
    return found
