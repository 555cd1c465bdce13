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


def closest_on_surface(
    points: Float[np.ndarray, "P 3"], vertices: Float[np.ndarray, "N 3"], triangles: Integer[np.ndarray, "T 3"]
) -> tuple[Integer[np.ndarray, "P 3"], Float[np.ndarray, "P 3"]]:
    """The nearest points of a surface: the vertices of their triangles, and weights that sum to 1."""
    corners = vertices[triangles]
    tree = cKDTree(corners.mean(1))
    parts = [
        _closest(points[start : start + _POINTS_AT_ONCE], tree, corners, triangles)
        for start in range(0, max(len(points), 1), _POINTS_AT_ONCE)
    ]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _closest(points, tree, corners, triangles):
    near = tree.query(points, min(NEAR_TRIANGLES, len(triangles)))[1].reshape(len(points), -1)
    weights = _closest_on_triangles(points[:, None], corners[near])
    distance = np.linalg.norm((weights[..., None] * corners[near]).sum(2) - points[:, None], axis=-1)
    best = distance.argmin(1)
    rows = np.arange(len(points))
    return triangles[near[rows, best]], weights[rows, best]


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
