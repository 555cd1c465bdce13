"""Do lips or lids pass through each other, or lids through the eyeballs? Measured, and resolved."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from fml_jax.face_model.subdivision import triangulate
from fml_jax.face_model.surfaces import closest_on_surface, vertex_normals
from third_party.open_face_model.openings import LID_MARGIN_RING, Opening, Openings, find_openings

REACH = 8.0  # mm: deeper than this nothing passes
CLEAR = 0.5  # mm over the tangent plane of the nearest vertex: such points are outside
NO_CORNER = 1.5  # mm between open lids: less is a corner of the eye
LIP_RINGS, LIP_POINTS = 14, 12  # rings of the mouth: the lips as surfaces, and as points that must stay outside
CORNER_COLUMNS = 2
ON_BORDER = 0.05  # weight of inner vertices under which a closest point lies on a patch's border


@dataclass(frozen=True)
class Pair:
    """Two surfaces that may touch and must not pass through each other: vertices and triangles of the standard mesh."""

    kind: str  # "lips" or "eyeball"
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


@dataclass(frozen=True)
class Margins:
    """The margins of an upper and a lower lid, which must not cross."""

    points: np.ndarray  # [2 C] vertices: the upper margin's, then the lower one's, facing each other
    upwards: np.ndarray  # [C, 3] unit vectors from the lower margin to the upper one
    kind: str = "lids"

    def depths(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far each point is beyond the facing one, [2 C] mm (0 where the lids are apart), and the way back."""
        upper, lower = np.split(vertices[self.points], 2)
        crossed = np.maximum(-((upper - lower) * self.upwards).sum(1), 0)
        return np.concatenate([crossed, crossed]), np.concatenate([self.upwards, -self.upwards])


def contact_pairs(
    neutral: np.ndarray, openings: Openings, eyeballs: list[np.ndarray], quads: np.ndarray
) -> list[Pair | Margins]:
    """The pairs of a head: upper and lower lip, upper and lower lids, lids and eyeballs.

    Args:
      neutral: [N, 3] with open eyes.
      eyeballs: the vertices of the left and the right one.
      quads: of the standard mesh.
    """
    pairs: list[Pair | Margins] = [*_between("lips", openings.mouth, slice(0, LIP_RINGS), quads)]
    for eye, ball in zip(openings.eyes, eyeballs, strict=True):
        upper, lower = eye.grid[LID_MARGIN_RING, eye.upper], eye.grid[LID_MARGIN_RING, eye.lower]
        gap = np.linalg.norm(neutral[upper] - neutral[lower], axis=1)
        open_there = gap > NO_CORNER
        upwards = (neutral[upper] - neutral[lower])[open_there] / gap[open_there, None]
        pairs.append(Margins(np.concatenate([upper[open_there], lower[open_there]]), upwards))
        ball_quads = quads[np.isin(quads, ball).all(1)]
        pairs.append(Pair("eyeball", np.unique(eye.grid[LID_MARGIN_RING:]), triangulate(ball_quads)))
    return pairs


def contact_pairs_of(arrays: dict[str, np.ndarray]) -> list[Pair | Margins]:
    """The pairs of a model file of format 2."""
    quads, mean = arrays["quads"].astype(np.int64), arrays["mean"].astype(float)
    eyes = dict(zip(arrays["region_names"].tolist(), arrays["regions"], strict=True))["eyes"].astype(bool)
    head_quads = quads[~eyes[quads].all(1)]
    openings = find_openings(mean[~eyes], head_quads)
    return contact_pairs(mean, openings, np.split(np.flatnonzero(eyes), 2), quads)


def _between(kind, opening: Opening, rings, quads):
    upper, lower = opening.grid[rings][:, opening.upper], opening.grid[rings][:, opening.lower]
    patches = [triangulate(quads[np.isin(quads, side).all(1)]) for side in (upper, lower)]
    # Beside the corners the sides touch by construction, and the folds' normals point anywhere.
    inner = slice(CORNER_COLUMNS, -CORNER_COLUMNS)
    return [
        Pair(kind, np.unique(upper[:LIP_POINTS, inner]), patches[1]),
        Pair(kind, np.unique(lower[:LIP_POINTS, inner]), patches[0]),
    ]


def deepest(pairs: list[Pair | Margins], vertices: np.ndarray) -> dict[str, float]:
    """The deepest penetration of each kind, mm."""
    found = {pair.kind: 0.0 for pair in pairs}
    for pair in pairs:
        found[pair.kind] = max(found[pair.kind], float(pair.depths(vertices)[0].max()))
    return found
