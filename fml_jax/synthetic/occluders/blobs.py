"""Blobs: objects of no particular kind and of a chosen size, textured, anywhere before the face."""

import cv2
import numpy as np
from jaxtyping import Bool, Float

from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.synthetic.occluders.layers import Layer
from fml_jax.synthetic.occluders.materials import object_colour


def make_blob(
    rng: np.random.Generator,
    face: Bool[np.ndarray, "240 240"],
    share: float,
    *,
    texture: Float[np.ndarray, "240 240 3"] | None = None,
) -> Layer:
    """An opaque blob that hides a given share of the face.

    Args:
      face: the pixels that show the face.
      share: of these pixels, in (0, 1).
      texture: its colours; by default it is plain and shaded.
    """
    rows, columns = np.nonzero(face)
    # Objects that hide the face's middle are rarer than those that reach in from its edge.
    number = rng.integers(len(rows))
    middle = np.array([columns.mean(), rows.mean()])
    centre = middle + (np.array([columns[number], rows[number]]) - middle) * rng.uniform(0.6, 1.6)
    reach = _reach(rng, centre)
    size = np.quantile(reach[face], share)
    opacity = np.clip((size - reach) * 0.5 * CROP_SIZE + 0.5, 0, 1)
    if texture is None:
        texture = np.broadcast_to(object_colour(rng), (CROP_SIZE, CROP_SIZE, 3))
    bulge = 1 - rng.uniform(0, 0.6) * np.clip(reach / size, 0, 1) ** 2
    return Layer((texture * bulge[:, :, None]).astype(np.float32), opacity.astype(np.float32))


def _reach(rng, centre):
    """The size, in crop sides, that a blob about a centre needs to hide each pixel."""
    x, y = np.meshgrid(np.arange(CROP_SIZE) - centre[0], np.arange(CROP_SIZE) - centre[1])
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1, 2.5)
    a, b = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    b = b * stretch
    if rng.random() < 0.3:  # a rectangle
        return np.maximum(np.abs(a), np.abs(b)) / CROP_SIZE
    angle = np.arctan2(b, a)
    outline = np.ones_like(angle)
    for order in range(2, 6):
        outline += rng.normal(0, 0.18 / order) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(a, b) / np.maximum(outline, 0.3) / CROP_SIZE


def noise_texture(rng: np.random.Generator) -> Float[np.ndarray, "240 240 3"]:
    """Random colours of several sizes of grain."""
    picture = np.broadcast_to(object_colour(rng).astype(np.float32), (CROP_SIZE, CROP_SIZE, 3))
    for side in (4, 16, 60):
        grain = rng.normal(0, rng.uniform(0.02, 0.12), (side, side, 1)) + rng.normal(0, 0.02, (side, side, 3))
        picture = picture + cv2.resize(grain.astype(np.float32), (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture, 0, 1)
