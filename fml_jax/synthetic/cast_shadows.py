"""Cast shadows: which points each lamp reaches past the head itself and past objects before it."""

import cv2
import numpy as np
from jaxtyping import Float

from fml_jax.synthetic.light import Light

_CELL = 4.0  # mm; of the map of heights that a lamp sees
_BIAS = 7.0  # mm by which a point must lie below another to be in its shadow
_DARKEST = 0.25  # of a point's shading, what shadows leave at least


def shadowed(
    positions: Float[np.ndarray, "P 3"],
    normals: Float[np.ndarray, "P 3"],
    shading: Float[np.ndarray, "P 3"],
    *,
    blockers: Float[np.ndarray, "B 3"],
    light: Light,
    rng: np.random.Generator,
) -> Float[np.ndarray, "P 3"]:
    """The shading of points without the light of lamps that something blocks.

    Args:
      positions, blockers: camera space, mm; points block each other as well.
      normals: unit, camera axes.
      shading: of the points by all light.
      rng: draws, for some faces, the soft edge of a large shadow across the face.
    """
    everything = np.concatenate([positions, blockers])
    lost = np.zeros_like(shading)
    edges = _edge(rng, positions) if rng.random() < 0.12 else None
    for direction, colour in zip(light.directions, light.colours, strict=True):
        received = np.maximum(normals @ direction, 0)
        blocked = _blocked(positions, everything, direction)
        if edges is not None:
            blocked = np.maximum(blocked, edges)
        lost += (blocked * received)[:, None] * colour
    return np.maximum(shading - lost, _DARKEST * shading).astype(np.float32)


def _blocked(points, everything, direction):
    """[P] share of a lamp's light that something else blocks, soft over a cell."""
    first = np.cross(direction, [0.0, 0.0, 1.0] if abs(direction[2]) < 0.9 else [1.0, 0.0, 0.0])
    first /= np.linalg.norm(first)
    plane = np.stack([first, np.cross(direction, first)], axis=1)
    flat, height = everything @ plane / _CELL, everything @ direction
    low = flat.min(axis=0) - 2
    cells = np.rint(flat - low).astype(np.int64)
    highest = np.full(cells.max(axis=0) + 3, -np.inf, np.float32)
    np.maximum.at(highest, (cells[:, 0], cells[:, 1]), height.astype(np.float32))
    # Where points are sparse, a surface has no gaps.
    highest = np.where(np.isinf(highest), cv2.dilate(highest, np.ones((3, 3), np.uint8)), highest)
    row, column = cells[: len(points)].T
    below = height[: len(points)] + _BIAS
    blocked = np.zeros(len(points))
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            blocked += highest[row + down, column + right] > below
    # One or two higher neighbours are the surface's own slope.
    return np.clip((blocked - 2) / 6, 0, 1)


def _edge(rng, positions):
    """[P] how deep points lie in a large shadow with a straight soft edge somewhere across the face."""
    turn = rng.uniform(0, 2 * np.pi)
    across = positions[:, :2] @ [np.cos(turn), np.sin(turn)]
    place = np.quantile(across, rng.uniform(0.3, 0.8))
    return rng.uniform(0.5, 1.0) / (1 + np.exp(-np.clip((across - place) / rng.uniform(2, 15), -30, 30)))
