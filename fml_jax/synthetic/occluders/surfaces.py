"""Surfaces that occluders are made of: tubes, ellipsoids and grids of points, with colour, opacity and gloss."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Surface(NamedTuple):
    """A coloured triangle mesh in the head's model space."""

    vertices: Float[np.ndarray, "V 3"]  # mm
    normals: Float[np.ndarray, "V 3"]  # unit; either side may show
    triangles: Int[np.ndarray, "T 3"]
    reflectance: Float[np.ndarray, "V 3"]  # RGB
    opacity: Float[np.ndarray, "V"]  # [0, 1]
    gloss: Float[np.ndarray, "V"]  # strength of its highlights, [0, 1]


def joined(surfaces: Sequence[Surface]) -> Surface:
    """Several surfaces, at least one, as one."""
    starts = np.cumsum([0] + [len(surface.vertices) for surface in surfaces])
    triangles = [surface.triangles + start for surface, start in zip(surfaces, starts[:-1], strict=True)]
    parts = {name: np.concatenate([getattr(each, name) for each in surfaces]) for name in Surface._fields}
    return Surface(**parts | {"triangles": np.concatenate(triangles)})


def grid_surface(
    points: Float[np.ndarray, "rows columns 3"],
    colour: Float[np.ndarray, "*#shape 3"],
    *,
    closed: bool = False,
    opacity: float = 1.0,
    gloss: float = 0.0,
) -> Surface:
    """The surface through a grid of points.

    Args:
      points: mm.
      colour: RGB, of all points or of each.
      closed: whether the last column is followed by the first.
    """
    rows, columns = points.shape[:2]
    normals = np.cross(_step(points, 1, closed), _step(points, 0, False))
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-9)
    number = np.arange(rows * columns).reshape(rows, columns)
    if closed:
        number = np.concatenate([number, number[:, :1]], axis=1)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    triangles = np.concatenate([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)]).reshape(-1, 3)
    count = rows * columns
    return Surface(
        points.reshape(-1, 3),
        normals.reshape(-1, 3),
        triangles,
        np.broadcast_to(colour, points.shape).reshape(-1, 3),
        np.full(count, opacity),
        np.full(count, gloss),
    )


def tube(
    path: Float[np.ndarray, "P 3"],
    radius: float | Float[np.ndarray, "P"],
    colour: Float[np.ndarray, "3"],
    *,
    closed: bool = False,
    flatness: float = 1.0,
    sides: int = 8,
    gloss: float = 0.0,
) -> Surface:
    """A tube about a path, with round ends unless the path is closed.

    Args:
      path: points of its axis, mm.
      radius: of the whole tube or at each point, mm.
      flatness: factor on the radius in the direction that is most nearly z.
    """
    radii = np.broadcast_to(radius, len(path)).astype(float)
    if not closed:
        path, radii = _with_caps(path, radii)
    along = _step(path[None], 1, closed)[0]
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    # One direction for the whole path, so that the tube is not twisted: the axis that the path runs along least.
    reference = np.eye(3)[np.abs(along).sum(axis=0).argmin()] if abs(along[:, 2]).mean() > 0.7 else np.eye(3)[2]
    side = np.cross(along, reference)
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    up = np.cross(side, along)
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    circle = np.cos(angles)[None, :, None] * side[:, None] + flatness * np.sin(angles)[None, :, None] * up[:, None]
    points = path[:, None] + radii[:, None, None] * circle
    if closed:
        points = np.concatenate([points, points[:1]])
    return grid_surface(points, colour, closed=True, gloss=gloss)


def ellipsoid(
    centre: Float[np.ndarray, "3"],
    axes: Float[np.ndarray, "3 3"],
    colour: Float[np.ndarray, "3"],
    *,
    rows: int = 9,
    columns: int = 14,
    gloss: float = 0.0,
) -> Surface:
    """An ellipsoid.

    Args:
      axes: its half axes as rows, mm.
    """
    latitude = np.linspace(-np.pi / 2, np.pi / 2, rows)[:, None]
    longitude = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None, :]
    unit = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude) + 0 * longitude],
        axis=-1,
    )
    surface = grid_surface(centre + unit @ axes, colour, closed=True, gloss=gloss)
    normals = unit.reshape(-1, 3) @ np.linalg.inv(axes).T
    return surface._replace(normals=normals / np.linalg.norm(normals, axis=1, keepdims=True))


def _with_caps(path, radius):
    """The path with three more points at either end, along which the radius falls to nothing."""
    caps = []
    for end, inner in ((0, 1), (-1, -2)):
        direction = path[end] - path[inner]
        direction = direction / max(np.linalg.norm(direction), 1e-9) * radius[end]
        angles = np.array([np.pi / 4, np.pi / 2.4, np.pi / 2.001])
        caps.append((path[end] + np.sin(angles)[:, None] * direction, radius[end] * np.cos(angles)))
    (first, first_radius), (last, last_radius) = caps
    return np.concatenate([first[::-1], path, last]), np.concatenate([first_radius[::-1], radius, last_radius])


def _step(points, axis, closed):
    """Central differences of a grid of points along an axis."""
    if closed:
        return np.roll(points, -1, axis) - np.roll(points, 1, axis)
    return np.gradient(points, axis=axis) if points.shape[axis] > 1 else np.zeros_like(points)
