"""Triangle surfaces in NumPy: nearest points, normals, similarity transformations."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy.spatial import cKDTree

NEAR_TRIANGLES = 16  # whose centres are nearest to a point: the nearest surface is among them
_FIRST_TRIANGLES = 4  # whose centres are nearest to a point: for a first bound of its distance
_POINTS_AT_ONCE = 20_000  # bounds the memory that closest points take
_PAIRS_AT_ONCE = 500_000  # of points and triangles, likewise
_SMALLEST = 1e-6  # mm: smaller triangles are of one size
_NO_LENGTH, _NO_AREA = 1e-12, 1e-24  # mm², mm⁴: squares below these are of edges and triangles without extent


class Mesh(NamedTuple):
    """A surface."""

    vertices: np.ndarray  # [N, 3] mm
    triangles: np.ndarray  # [T, 3]


def part_of(mesh: Mesh, kept: Bool[np.ndarray, "T"]) -> Mesh:
    """Some triangles of a surface and their vertices, in the same order."""
    used, numbers = np.unique(mesh.triangles[kept], return_inverse=True)
    return Mesh(mesh.vertices[used], numbers.reshape(-1, 3))


class SurfaceSearch:
    """Finds the nearest points of one surface; the search tree is built once."""

    def __init__(self, vertices: Float[np.ndarray, "N 3"], triangles: Integer[np.ndarray, "T 3"]) -> None:
        self._triangles, self._corners = triangles, vertices[triangles]
        self._tree = cKDTree(self._corners.mean(1))

    @cached_property
    def _by_size(self) -> "list[_Triangles]":
        """The triangles in groups of similar size: the largest one of a group says how far from centres to look."""
        radii = np.linalg.norm(self._corners - self._tree.data[:, None], axis=-1).max(1)
        sizes = np.floor(2 * np.log2(np.maximum(radii, _SMALLEST)))
        return [_Triangles.of(self._corners[sizes == size]) for size in np.unique(sizes)]

    def closest(self, points: Float[np.ndarray, "P 3"]) -> tuple[Integer[np.ndarray, "P 3"], Float[np.ndarray, "P 3"]]:
        """As `closest_on_surface`."""
        parts = [self._among(part, NEAR_TRIANGLES)[:2] for part in _parts(points, _POINTS_AT_ONCE)]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def distances(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P"]:
        """Distances to the surface, exact also where its triangles differ in size."""
        found = np.concatenate([self._among(part, _FIRST_TRIANGLES)[2] for part in _parts(points, _POINTS_AT_ONCE)])
        for group in self._by_size:
            for rows in _parts(np.arange(len(points)), _POINTS_AT_ONCE):
                found[rows] = group.nearer(points[rows], found[rows])
        return found

    def _among(self, points, tried):
        """Corners, weights and distances of the nearest points on so many triangles, whose centres are nearest."""
        near = self._tree.query(points, min(tried, len(self._triangles)))[1].reshape(len(points), -1)
        corners = self._corners[near]
        weights = _closest_on_triangles(points[:, None], corners)
        gaps = np.einsum("ptk,ptki->pti", weights, corners) - points[:, None]
        distance = np.sqrt(_products(gaps, gaps))
        best = distance.argmin(1)
        rows = np.arange(len(points))
        return self._triangles[near[rows, best]], weights[rows, best], distance[rows, best]


class _Triangles(NamedTuple):
    """Triangles of similar size."""

    corners: np.ndarray  # [T, 3, 3]
    tree: cKDTree  # of their centres
    reach: float  # from a centre to the farthest corner

    @classmethod
    def of(cls, corners: np.ndarray) -> "_Triangles":
        centres = corners.mean(1)
        return cls(corners, cKDTree(centres), float(np.linalg.norm(corners - centres[:, None], axis=-1).max()))

    def nearer(self, points: np.ndarray, found: np.ndarray) -> np.ndarray:
        """The distances [P] of points from these triangles, or those found so far where these are smaller."""
        near = self.tree.query_ball_point(points, found + self.reach)
        rows = np.repeat(np.arange(len(points)), [len(each) for each in near])
        triangles = np.concatenate([*near, []]).astype(np.int64)
        nearest = found.copy()
        for pairs in _parts(np.arange(len(rows)), _PAIRS_AT_ONCE):
            row, corners = rows[pairs], self.corners[triangles[pairs]]
            beside = np.maximum(np.maximum(corners.min(1) - points[row], points[row] - corners.max(1)), 0)
            inside = (beside**2).sum(-1) < found[row] ** 2  # of a box about the triangle and as far around it
            row, corners = row[inside], corners[inside]
            there = (_closest_on_triangles(points[row], corners)[..., None] * corners).sum(1)
            np.minimum.at(nearest, row, np.linalg.norm(there - points[row], axis=-1))
        return nearest


def closest_on_surface(
    points: Float[np.ndarray, "P 3"], vertices: Float[np.ndarray, "N 3"], triangles: Integer[np.ndarray, "T 3"]
) -> tuple[Integer[np.ndarray, "P 3"], Float[np.ndarray, "P 3"]]:
    """The nearest points of a surface: the vertices of their triangles, and weights that sum to 1."""
    return SurfaceSearch(vertices, triangles).closest(points)


def _parts(rows, size):
    return [rows[start : start + size] for start in range(0, max(len(rows), 1), size)]


def _closest_on_triangles(points, corners):
    """Barycentric weights [..., 3] of triangles' [..., 3, 3] closest points: projected, then clipped to the edges."""
    a = corners[..., 0, :]
    ab, ac, offset = corners[..., 1, :] - a, corners[..., 2, :] - a, points - a
    across, along_b, along_c = _products(ab, ac), _products(ab, offset), _products(ac, offset)
    square_b, square_c = _products(ab, ab), _products(ac, ac)

    def excess(b, c):
        """How much larger the squared distance is from a + b ab + c ac than from a."""
        return b * (b * square_b + 2 * (c * across - along_b)) + c * (c * square_c - 2 * along_c)

    area = np.maximum(square_b * square_c - across**2, _NO_AREA)
    b, c = (square_c * along_b - across * along_c) / area, (square_b * along_c - across * along_b) / area
    nearest = np.where((b >= 0) & (c >= 0) & (b + c <= 1), excess(b, c), np.inf)
    of_side = np.clip((square_b - across + along_c - along_b) / _safe(square_b - 2 * across + square_c), 0, 1)
    of_b, of_c = np.clip(along_b / _safe(square_b), 0, 1), np.clip(along_c / _safe(square_c), 0, 1)
    for on_b, on_c in ((of_b, np.zeros_like(of_b)), (1 - of_side, of_side), (np.zeros_like(of_c), of_c)):
        there = excess(on_b, on_c)
        nearer = there < nearest
        b, c, nearest = np.where(nearer, on_b, b), np.where(nearer, on_c, c), np.where(nearer, there, nearest)
    return np.stack([np.maximum(1 - b - c, 0), b, c], axis=-1)


def _products(one, other):
    """Inner products along the last axis."""
    return np.einsum("...i,...i", one, other)


def _safe(square):
    return np.maximum(square, _NO_LENGTH)


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
