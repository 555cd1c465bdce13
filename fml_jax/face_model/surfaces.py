"""Triangle surfaces in NumPy: nearest points, normals, similarity transformations."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from scipy.spatial import cKDTree

NEAR_TRIANGLES = 16  # whose centres are nearest to a point: the nearest surface is among them
_POINTS_AT_ONCE = 20_000  # bounds the memory that closest points take


class Mesh(NamedTuple):
    """A surface."""

    vertices: np.ndarray  # [N, 3] mm
    triangles: np.ndarray  # [T, 3]


class SurfaceSearch:
    """Finds the nearest points of one surface; the search tree is built once."""

    def __init__(self, vertices: Float[np.ndarray, "N 3"], triangles: Integer[np.ndarray, "T 3"]) -> None:
        self._triangles, self._corners = triangles, vertices[triangles]
        centres = self._corners.mean(1)
        self._tree = cKDTree(centres)
        self._reach = float(np.linalg.norm(self._corners - centres[:, None], axis=-1).max())

    def closest(self, points: Float[np.ndarray, "P 3"]) -> tuple[Integer[np.ndarray, "P 3"], Float[np.ndarray, "P 3"]]:
        """As `closest_on_surface`."""
        parts = [self._among(part, NEAR_TRIANGLES)[:2] for part in _parts(points, _POINTS_AT_ONCE)]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def distances(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        """Distances to the surface, exact also where its triangles differ in size.

        Triangles are tried in the order of their centres' distances, until no other one can be nearer.
        """
        found, waiting, tried = np.empty(len(points)), np.arange(len(points)), NEAR_TRIANGLES
        while len(waiting):
            certain = np.zeros(len(waiting), bool)
            for rows in _parts(np.arange(len(waiting)), max(1, _POINTS_AT_ONCE * NEAR_TRIANGLES // tried)):
                _, _, distance, farthest = self._among(points[waiting[rows]], tried)
                found[waiting[rows]] = distance
                certain[rows] = (farthest >= distance + self._reach) | (tried >= len(self._triangles))
            waiting, tried = waiting[~certain], 4 * tried
        return found

    def _among(self, points, tried):
        """Corners, weights and distances of the nearest points on so many triangles, and the last centre's distance."""
        centres, near = self._tree.query(points, min(tried, len(self._triangles)))
        near = near.reshape(len(points), -1)
        weights = _closest_on_triangles(points[:, None], self._corners[near])
        distance = np.linalg.norm((weights[..., None] * self._corners[near]).sum(2) - points[:, None], axis=-1)
        best = distance.argmin(1)
        rows = np.arange(len(points))
        farthest = centres.reshape(len(points), -1)[:, -1]
        return self._triangles[near[rows, best]], weights[rows, best], distance[rows, best], farthest


def closest_on_surface(
    points: Float[np.ndarray, "P 3"], vertices: Float[np.ndarray, "N 3"], triangles: Integer[np.ndarray, "T 3"]
) -> tuple[Integer[np.ndarray, "P 3"], Float[np.ndarray, "P 3"]]:
    """The nearest points of a surface: the vertices of their triangles, and weights that sum to 1."""
    return SurfaceSearch(vertices, triangles).closest(points)


def _parts(rows, size):
    return [rows[start : start + size] for start in range(0, max(len(rows), 1), size)]


def _closest_on_triangles(points, corners):
    """Barycentric weights [..., 3] of triangles' [..., 3, 3] closest points: projected, then clipped to the edges."""
    a, b, c = np.moveaxis(corners, -2, 0)
    edges, offset = np.stack([b - a, c - a], axis=-2), points - a
    gram = edges @ np.swapaxes(edges, -1, -2) + 1e-12 * np.eye(2)
    inner = np.linalg.solve(gram, (edges @ offset[..., None]))[..., 0]
    inside = np.concatenate([1 - inner.sum(-1, keepdims=True), inner], axis=-1)
    candidates = [inside]
    for first, second in ((0, 1), (1, 2), (2, 0)):
        start, side = corners[..., first, :], corners[..., second, :] - corners[..., first, :]
        t = np.clip(((points - start) * side).sum(-1) / np.maximum((side**2).sum(-1), 1e-12), 0, 1)
        weights = np.zeros_like(inside)
        weights[..., first], weights[..., second] = 1 - t, t
        candidates.append(weights)
    stacked = np.stack(candidates)
    distance = np.linalg.norm((stacked[..., None] * corners).sum(-2) - points, axis=-1)
    distance[0] = np.where((inside >= 0).all(-1), distance[0], np.inf)
    return np.take_along_axis(stacked, distance.argmin(0)[None, ..., None], axis=0)[0]


def vertex_normals(
    vertices: Float[np.ndarray, "N 3"], triangles: Integer[np.ndarray, "T 3"]
) -> Float[np.ndarray, "N 3"]:
    """Unit normals, weighted by area; zero where a vertex has no surface around it.

    `topology.vertex_normals` is the same as a differentiable function.
    """
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    areas = np.cross(b - a, c - a)
    corners = triangles.ravel()
    normals = np.stack([np.bincount(corners, np.repeat(axis, 3), len(vertices)) for axis in areas.T], axis=1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def procrustes(
    points: Float[np.ndarray, "P 3"], target: Float[np.ndarray, "P 3"]
) -> tuple[float, Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """The similarity target ≈ scale · rotation (points − centre) + target's centre, in the least squares sense."""
    centre = points.mean(0)
    centred, goal = points - centre, target - target.mean(0)
    left, singular, right = np.linalg.svd(goal.T @ centred)
    signs = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
    scale = (singular * signs).sum() / (centred**2).sum()
    return float(scale), (left * signs) @ right, centre


def at(
    values: Float[np.ndarray, "N C"], corners: Integer[np.ndarray, "P 3"], weights: Float[np.ndarray, "P 3"]
) -> Float[np.ndarray, "P C"]:
    """Values of vertices at points on the surface, as `closest_on_surface` returns them."""
    return (values[corners] * weights[..., None]).sum(1)
