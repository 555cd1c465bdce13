"""Cast shadows: which points each lamp reaches past the head itself and past objects before it."""

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
      positions, blockers: camera space, mm; the positions block each other as well.
      normals: unit, camera axes.
      shading: of the points by all light.
      rng: draws, for some faces, the soft edge of a large shadow across the face.
    """
    rows = np.flatnonzero(normals[:, 2] < _TURNED)
    seen, everything = positions[rows], np.concatenate([positions, blockers])
    lost = np.zeros((len(rows), 3))
    edges = _edge(rng, seen) if rng.random() < _EDGES else None
    for direction, colour in zip(light.directions, light.colours, strict=True):
        if colour.max() < _WEAK * light.colours.max():
            continue
        received = np.maximum(normals[rows] @ direction, 0)
        blocked = _blocked(seen, normals[rows], everything, direction=direction)
        if edges is not None:
            blocked = np.maximum(blocked, edges)
        lost += (blocked * received)[:, None] * colour
    left = shading.astype(np.float32)
    left[rows] = np.maximum(shading[rows] - lost, _DARKEST * shading[rows])
    return left


def _blocked(points, normals, everything, *, direction):
    """[P] share of a lamp's light that something else blocks, soft over a few cells."""
    first = np.cross(direction, [0.0, 0.0, 1.0] if abs(direction[2]) < 0.9 else [1.0, 0.0, 0.0])
    first /= np.linalg.norm(first)
    plane = np.stack([first, np.cross(direction, first)], axis=1)
    flat = everything @ plane / _CELL
    corner = flat.min(axis=0) - 3
    cells = np.rint(flat - corner).astype(np.int64)
    highest = np.full(cells.max(axis=0) + 4, -np.inf, np.float32)
    np.maximum.at(highest, (cells[:, 0], cells[:, 1]), (everything @ direction).astype(np.float32))
    # Where points are sparse, a surface has no gaps.
    highest = np.where(np.isinf(highest), cv2.dilate(highest, np.ones((3, 3), np.uint8)), highest)
    row, column = np.rint(points @ plane / _CELL - corner).astype(np.int64).T
    height = points @ direction
    # The point's own surface rises towards other cells by this much for each.
    slope = -_CELL * (normals @ plane) / np.maximum(normals @ direction, _GRAZING)[:, None]
    bias = _BIAS + 0.5 * np.linalg.norm(slope, axis=1)  # steep surfaces are known less well
    blocked = np.zeros(len(points))
    for down, right in _AROUND:
        own = height + slope @ [down, right]
        blocked += highest[row + down, column + right] > own + bias
    return np.clip((blocked / len(_AROUND) - 0.2) / 0.6, 0, 1)


def _edge(rng, positions):
    """[P] how deep points lie in a large shadow with a straight soft edge somewhere across the face."""
    turn = rng.uniform(0, 2 * np.pi)
    across = positions[:, :2] @ [np.cos(turn), np.sin(turn)]
    place = np.quantile(across, rng.uniform(0.3, 0.8))
    return rng.uniform(0.5, 1.0) / (1 + np.exp(-np.clip((across - place) / rng.uniform(2, 15), -30, 30)))
