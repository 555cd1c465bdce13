"""The square crop that the encoder sees, as an affine map from photo pixels to crop pixels.

Pixel (0, 0) is the centre of the top-left pixel on both sides, so a crop of `size` pixels has its
centre at (size - 1) / 2. An affine is a [2, 3] array A with crop = A[:, :2] @ photo + A[:, 2].
"""

import math
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

CROP_SIZE = 240  # pixels, the paper's
SIDE_FACTOR = 1.5  # crop sides in √(w·h) of the landmarks' tight box

# How the box of the 68 landmarks sits in a Haar box, in Haar box sides: medians over 1,900 LFW photos.
HAAR_CENTRE_DOWN = 0.169
HAAR_SIDE = 0.837  # √(w·h) of the landmarks' box

# How far crops from Haar boxes scatter about crops from landmarks, as standard deviations; training
# crops are jittered by as much.
HAAR_SHIFT_STD = (0.07, 0.024)  # crop sides, in x (turned heads) and in y
HAAR_SCALE_STD = 0.065  # of the logarithm of the crop's side


def crop_from_photo(
    box: tuple[float, float, float, float], roll: float = 0.0, size: int = CROP_SIZE
) -> Float[np.ndarray, "2 3"]:
    """The crop for a detector's box, framed as `crop_from_landmarks` would on average.

    Args:
      box: x0, y0, x1, y1 in photo pixels, as `detection.detect_faces` finds it.
      roll: how far the head leans clockwise in the photo, in radians; the crop shows it upright.
      size: of the crop, in pixels.

    Returns:
      The affine from photo pixels to crop pixels.
    """
    x0, y0, x1, y1 = box
    side = math.sqrt((x1 - x0) * (y1 - y0))
    down = HAAR_CENTRE_DOWN * side
    centre = np.array([(x0 + x1) / 2 - down * math.sin(roll), (y0 + y1) / 2 + down * math.cos(roll)])
    return square_crop(centre, SIDE_FACTOR * HAAR_SIDE * side, roll, size=size)


def crop_from_landmarks(
    landmarks68: Float[np.ndarray, "68 2"],
    roll: float = 0.0,
    side_factor: float = SIDE_FACTOR,
    *,
    size: int = CROP_SIZE,
) -> Float[np.ndarray, "2 3"]:
    """The crop about the landmarks' tight box: the same centre, side = side_factor · √(w·h).

    Args:
      roll: how far the head leans clockwise, in radians; box and crop lean with it.
    """
    upright = landmarks68 @ _turn(-roll).T
    low, high = upright.min(axis=0), upright.max(axis=0)
    centre = _turn(roll) @ ((low + high) / 2)
    return square_crop(centre, side_factor * math.sqrt(np.prod(high - low)), roll, size=size)


def invert_affine(affine: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "2 3"]:
    """The affine back: from crop pixels to photo pixels."""
    inverse = np.linalg.inv(affine[:, :2])
    return np.column_stack([inverse, -inverse @ affine[:, 2]])


def compose_affines(after: Float[Any, "2 3"], before: Float[Any, "2 3"]) -> Float[Any, "2 3"]:
    """The affine that applies `before`, then `after`; of NumPy's arrays or of JAX's, traced ones included."""
    linear, shift = after[:, :2] @ before[:, :2], apply_affine(after, before[:, 2])
    return linear.__array_namespace__().concat([linear, shift[:, None]], axis=1)


def apply_affine(affine: Float[Any, "2 3"], points: Float[Any, "*batch 2"]) -> Float[Any, "*batch 2"]:
    """Points [..., 2] on the affine's other side; NumPy's arrays or JAX's, traced ones included."""
    return points @ affine[:, :2].T + affine[:, 2]


def jitter_affine(
    affine: Float[np.ndarray, "2 3"],
    rng: np.random.Generator,
    *,
    shift_std: float | tuple[float, float] = HAAR_SHIFT_STD,
    scale_std: float = HAAR_SCALE_STD,
    roll_std: float = math.radians(8),
    size: int = CROP_SIZE,
) -> Float[np.ndarray, "2 3"]:
    """A crop moved, scaled and turned a little at random, as a detector's boxes are.

    Args:
      rng: draws four normal numbers.
      shift_std: crop sides, for x and y together or each its own.
      scale_std: of the logarithm of the crop's side.
      roll_std: radians.
    """
    shift = np.asarray(shift_std) * size * rng.standard_normal(2)
    scale, roll = math.exp(scale_std * rng.standard_normal()), roll_std * rng.standard_normal()
    return moved_affine(affine, shift, scale, roll=roll, size=size)


def moved_affine(
    affine: Float[np.ndarray, "2 3"], shift: Float[np.ndarray, "2"], scale: float, *, roll: float, size: int = CROP_SIZE
) -> Float[np.ndarray, "2 3"]:
    """A crop whose content is scaled and turned clockwise about the centre, then shifted (crop pixels)."""
    centre = (size - 1) / 2
    rotation = scale * _turn(roll)
    about_centre = np.column_stack([rotation, centre - rotation @ [centre, centre] + shift])
    return compose_affines(about_centre, affine)


def crop_photo(
    rgb: UInt8[np.ndarray, "H W 3"], affine: Float[np.ndarray, "2 3"], size: int = CROP_SIZE
) -> UInt8[np.ndarray, "size size 3"]:
    """The crop of a photo; beyond the photo's edge its border pixels are repeated.

    A photo that the crop shows at less than half its size is first shrunk by area averages, to avoid aliasing.
    """
    shrink = math.sqrt(abs(np.linalg.det(affine[:, :2])))
    if shrink < 0.5:
        rgb, affine = _shrunk(rgb, affine, shrink, size)
    return cv2.warpAffine(rgb, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def square_crop(centre: Float[np.ndarray, "2"], side: float, roll: float, *, size: int) -> Float[np.ndarray, "2 3"]:
    """The crop of a square with this centre and side (photo pixels); a head that leans by `roll` is upright in it."""
    linear = size / side * _turn(-roll)
    return np.column_stack([linear, (size - 1) / 2 - linear @ centre])


def _turn(angle: float) -> Float[np.ndarray, "2 2"]:
    """Clockwise as seen, since y points down."""
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _shrunk(
    rgb: UInt8[np.ndarray, "H W 3"], affine: Float[np.ndarray, "2 3"], shrink: float, size: int
) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "2 3"]]:
    """The part of the photo that the crop shows, shrunk to about the crop's scale, and its affine."""
    height, width = rgb.shape[:2]
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) - 0.5
    shown = apply_affine(invert_affine(affine), corners)
    margin = 2 / shrink
    x0, y0 = np.clip(np.floor(shown.min(axis=0) - margin), 0, [width - 1, height - 1]).astype(int)
    x1, y1 = np.clip(np.ceil(shown.max(axis=0) + margin), [x0 + 1, y0 + 1], [width, height]).astype(int)
    part = rgb[y0:y1, x0:x1]
    to = (max(1, round((x1 - x0) * shrink)), max(1, round((y1 - y0) * shrink)))
    scale = np.array([x1 - x0, y1 - y0]) / to
    # Pixel x of the small picture is the average of the photo's from x·scale to (x+1)·scale - 1.
    to_photo = np.column_stack([np.diag(scale), (scale - 1) / 2 + [x0, y0]])
    return cv2.resize(part, to, interpolation=cv2.INTER_AREA), compose_affines(affine, to_photo)
