"""Boxes of faces in the one convention that crops rely on, whichever detector finds them.

A box is a square x0, y0, x1, y1 in photo pixels. Seen upright, that is turned back by the face's roll about the
square's centre, it lies about the face as a box of OpenCV's Haar cascades does: the tight box of the face's 68
landmarks has its centre `crops.HAAR_CENTRE_DOWN` of the square's side below the square's centre, towards the chin, and
√(w·h) = `crops.HAAR_SIDE` of it (medians). The square itself is not turned: a turned face has a centre, a side and
a roll. `crops.crop_from_photo` makes the upright crop of box and roll.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from fml_jax.photos.crops import HAAR_CENTRE_DOWN, HAAR_SIDE

WORKING_SIDE = 640  # photos are shrunk to this long side before the search
SMALLEST_SIDE = 20  # pixels that the smallest face has in a shrunk photo

Box = tuple[float, float, float, float]


class Detection(NamedTuple):
    """A detected face."""

    box: Box  # see above
    confidence: float  # in [0, 1]; not a calibrated probability
    roll: float = 0.0  # how far the head leans clockwise in the photo, radians; 0 from detectors without it


def haar_box(box: Box, centre_down: float, side: float) -> Box:
    """The square in which the landmarks sit as they do in Haar's.

    Args:
      box: x0, y0, x1, y1 of another detector's rectangle.
      centre_down: how far the centre of the landmarks' box lies below the rectangle's, in the rectangle's √(w·h).
      side: √(w·h) of the landmarks' box, in the same unit.
    """
    x0, y0, x1, y1 = box
    scale = math.sqrt((x1 - x0) * (y1 - y0))
    half = scale * side / HAAR_SIDE / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2 + scale * centre_down - 2 * half * HAAR_CENTRE_DOWN
    return (x - half, y - half, x + half, y + half)


def working_scale(picture: UInt8[np.ndarray, "H W ..."]) -> float:
    """The factor by which a photo is shrunk before detection; 1 for small photos."""
    return min(1.0, WORKING_SIDE / max(picture.shape[:2]))


def shrunk(picture: UInt8[np.ndarray, "H W ..."], scale: float | None = None) -> UInt8[np.ndarray, "h w ..."]:
    """A photo, grey or in colour, at the size for detection, or shrunk by another scale."""
    scale = working_scale(picture) if scale is None else scale
    if scale >= 1:
        return picture
    size = [max(1, round(scale * side)) for side in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def largest_first(faces: list[Detection]) -> list[Detection]:
    """By the area of their boxes."""
    return sorted(faces, key=area, reverse=True)


def in_photo(box: tuple[float, ...], x_scale: float, y_scale: float) -> Box:
    """From corners counted from the picture's edge to pixels whose centres are whole numbers."""
    x0, y0, x1, y1 = box
    return (x0 * x_scale - 0.5, y0 * y_scale - 0.5, x1 * x_scale - 0.5, y1 * y_scale - 0.5)


def merged(found: list[Detection], same_face: float) -> list[Detection]:
    """The most confident of boxes that overlap by more than this part of the smaller one."""
    kept: list[Detection] = []
    for face in sorted(found, key=lambda face: face.confidence, reverse=True):
        if all(overlap(face, other) <= same_face for other in kept):
            kept.append(face)
    return kept


def overlap(a: Detection, b: Detection) -> float:
    """Common area as a part of the smaller box."""
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    return max(width, 0) * max(height, 0) / min(area(a), area(b))


def area(face: Detection) -> float:
    """Square photo pixels."""
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)
