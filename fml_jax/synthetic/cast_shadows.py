"""Cast shadows: which points each lamp reaches past the head itself and past objects before it."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float

from fml_jax.synthetic.light import Light

_CELL = 4.0  # mm; of the map of heights that a lamp sees
_AROUND = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (-2, -1), (-1, 2), (2, 1), (1, -2)]  # cells, for soft edges
_BIAS = 7.0  # mm by which a point must lie below another to be in its shadow
_TURNED = 0.4  # largest z of the normals of points that the camera may see
_GRAZING = 0.2  # smallest cosine between normal and lamp for which slopes are computed
_WEAK = 0.15  # lamps weaker than this, relative to the strongest, cast no shadow
_EDGES = 0.12  # share of faces with the edge of a large shadow across them
_DARKEST = 0.4  # of a point's shading, what shadows leave at least


class Edge(NamedTuple):
    """The straight soft edge of a large shadow."""

    across: Float[np.ndarray, "2"]  # the direction in camera space, x and y, in which it becomes dark
    place: float  # mm along that direction
    depth: float  # share of the light that the shadow takes
    width: float  # mm

    def at(self, positions: Float[np.ndarray, "3 P"]) -> Float[np.ndarray, "P"]:
        """How deep points lie in the shadow."""
        beyond = (self.across.astype(np.float32) @ positions[:2] - np.float32(self.place)) / np.float32(self.width)
        return np.float32(self.depth) / (1 + np.exp(-np.clip(beyond, -30, 30)))


def sample_edge(
    rng: np.random.Generator, positions: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"]
) -> Edge | None:
    """For some faces, the edge of a large shadow somewhere across the points that are turned to the camera."""
    if rng.random() >= _EDGES:
        return None
    turn = rng.uniform(0, 2 * np.pi)
    across = np.array([np.cos(turn), np.sin(turn)])
    place = np.quantile(positions[normals[:, 2] < _TURNED, :2] @ across, rng.uniform(0.3, 0.8))
    return Edge(across, float(place), rng.uniform(0.5, 1.0), rng.uniform(2, 15))


def shadowed(
    positions: Float[np.ndarray, "P 3"],
    normals: Float[np.ndarray, "P 3"],
    shading: Float[np.ndarray, "P 3"],
    *,
    everything: Float[np.ndarray, "M 3"],
    light: Light,
    edge: Edge | None,
) -> Float[np.ndarray, "P 3"]:
    """The shading of points without the light of lamps that something blocks.

    Args:
      positions, everything: camera space, mm; of the points, and of what blocks light, the points among it.
      normals: unit, camera axes.
      shading: of the points by all light.
      edge: of a large shadow across the face.
    """
    rows = np.flatnonzero(normals[:, 2] < _TURNED)
    seen, turned = positions[rows].T, normals[rows].T
    lost = np.zeros((3, len(rows)), np.float32)
    edges = None if edge is None else edge.at(seen)
    for direction, colour in zip(light.directions, light.colours, strict=True):
        if colour.max() < _WEAK * light.colours.max():
            continue
        blocked = _blocked(seen, turned, everything.T, direction=direction)
        if edges is not None:
            blocked = np.maximum(blocked, edges)
        received = np.maximum(direction.astype(np.float32) @ turned, 0)
        lost += blocked * received * colour.astype(np.float32)[:, None]
    left = shading.astype(np.float32)
    left[rows] = np.maximum(left[rows] - lost.T, _DARKEST * left[rows])
    return left


def _blocked(points, normals, everything, *, direction):
    """[P] share of a lamp's light that something else blocks, soft over a few cells; of points [3, P]."""
    first = np.cross(direction, [0.0, 0.0, 1.0] if abs(direction[2]) < 0.9 else [1.0, 0.0, 0.0])
    first /= np.linalg.norm(first)
    # Along the lamp's picture, in cells, and towards the lamp, in mm.
    axes = np.stack([first / _CELL, np.cross(direction, first) / _CELL, direction]).astype(np.float32)
    x, y, height = axes @ everything
    left, top = x.min() - 3, y.min() - 3
    rows, columns = int(x.max() - left) + 5, int(y.max() - top) + 5
    highest = np.full(rows * columns, -np.inf, np.float32)
    np.maximum.at(highest, _cells(x - left, y - top, columns), height)
    highest = highest.reshape(rows, columns)
    # Where points are sparse, a surface has no gaps.
    highest = np.where(np.isinf(highest), cv2.dilate(highest, np.ones((3, 3), np.uint8)), highest).ravel()
    x, y, height = axes @ points
    place = _cells(x - left, y - top, columns)
    # The point's own surface rises towards other cells by this much for each.
    along_x, along_y, facing = axes @ normals * np.array([[_CELL], [_CELL], [1]], np.float32)
    down, right = -_CELL * np.stack([along_x, along_y]) / np.maximum(facing, _GRAZING)
    # Steep surfaces are known less well.
    height = height + _BIAS + 0.5 * np.hypot(down, right)
    blocked = np.zeros(len(height), np.float32)
    for i, j in _AROUND:
        blocked += np.take(highest, place + (i * columns + j)) > height + i * down + j * right
    return np.clip((blocked / len(_AROUND) - 0.2) / 0.6, 0, 1)


def _cells(x, y, columns):
    """The numbers of cells, row by row, of places in cells."""
    return np.rint(x).astype(np.intp) * columns + np.rint(y).astype(np.intp)
