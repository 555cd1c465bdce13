"""The window of a photo that a corpus stores: a square about the face, large enough to move the crop within it."""

import math

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from fml_jax.photos.crops import CROP_SIZE, apply_affine, invert_affine

WINDOW_SIZE = 256  # pixels
WINDOW_SIDE = 2.2  # side of a window in crop sides, where the photo is large enough
BLACK = 12  # pixels that are no brighter and connected to the border do not belong to the photo


def window_affine(crop: Float[np.ndarray, "2 3"], shape: tuple[int, ...]) -> Float[np.ndarray, "2 3"]:
    """The affine from photo pixels to window pixels. The window is moved to lie inside the photo where it fits.

    Args:
      crop: the affine from photo pixels to crop pixels.
      shape: of the photo, height first.
    """
    photo = np.array(shape[1::-1])
    side = min(WINDOW_SIDE * CROP_SIZE / math.hypot(*crop[:, 0]), photo.max())
    centre = apply_affine(invert_affine(crop), np.full(2, (CROP_SIZE - 1) / 2))
    low, high = side / 2 - 0.5, photo - 0.5 - side / 2
    centre = np.where(high >= low, np.clip(centre, low, np.maximum(low, high)), (photo - 1) / 2)
    scale = WINDOW_SIZE / side
    return np.column_stack([scale * np.eye(2), (WINDOW_SIZE - 1) / 2 - scale * centre])


def shown_by_photo(
    window: UInt8[np.ndarray, "256 256 3"], to_window: Float[np.ndarray, "2 3"], shape: tuple[int, ...]
) -> Bool[np.ndarray, "256 256"]:
    """Which window pixels belong to the photo: inside it, and not in black areas along the window's edge."""
    return _inside(to_window, shape) & ~black_border(window)


def black_border(window: UInt8[np.ndarray, "256 256 3"]) -> Bool[np.ndarray, "256 256"]:
    """Black areas that touch the window's edge; collections of aligned photos have such borders."""
    black = (window.max(axis=2) <= BLACK).astype(np.uint8)
    _, labels = cv2.connectedComponents(black, connectivity=4)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    border = np.isin(labels, np.setdiff1d(edge, [0]))
    return cv2.dilate(border.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # compression turns the rim grey


def _inside(to_window: Float[np.ndarray, "2 3"], shape: tuple[int, ...]) -> Bool[np.ndarray, "256 256"]:
    pixels = np.stack(np.meshgrid(np.arange(float(WINDOW_SIZE)), np.arange(float(WINDOW_SIZE))), axis=-1)
    photo = apply_affine(invert_affine(to_window), pixels)
    return np.all((photo >= -0.5) & (photo <= np.array(shape[1::-1]) - 0.5), axis=-1)
