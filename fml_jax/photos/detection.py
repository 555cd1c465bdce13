"""Face detection with OpenCV's Haar cascades, which every OpenCV 4 wheel contains (`yunet` has another detector)."""

import functools
import math
import threading
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from fml_jax.errors import InputError

WORKING_SIDE = 640  # photos are shrunk to this long side before the search
SMALLEST_PART = 1 / 20  # of the photo's long side: smaller faces are not looked for
SMALLEST_SIDE = 20  # pixels that the cascades' own windows have
SCALE_STEP = 1.1
SAME_FACE = 0.3  # boxes that overlap by more than this part of the smaller one show the same face


class Detection(NamedTuple):
    """A detected face."""

    box: tuple[float, float, float, float]  # x0, y0, x1, y1, photo pixels
    confidence: float  # in [0, 1]; not a calibrated probability


class Cascade(NamedTuple):
    """A cascade of OpenCV's and how its last stage's sum is to be read."""

    file: str
    neighbours: int  # windows that must agree; measured on LFW: fewest wrong boxes at most faces found
    middling: float  # the last stage's sum at confidence 1/2
    spread: float


FRONTAL = Cascade("haarcascade_frontalface_alt2.xml", neighbours=5, middling=55.5, spread=0.5)
SECOND_LOOK = Cascade("haarcascade_frontalface_default.xml", neighbours=8, middling=4.0, spread=2.0)
PROFILE = Cascade("haarcascade_profileface.xml", neighbours=4, middling=2.0, spread=2.0)

_one_at_a_time = threading.Lock()  # a cascade's buffers serve one search


def detect_faces(rgb: UInt8[np.ndarray, "H W 3"], min_size: float = 60) -> list[Detection]:
    """The faces in a photo, largest first.

    Frontal faces; only where there is none, a second cascade and then both profiles are tried.

    Args:
      rgb: a photo.
      min_size: side of the smallest box to look for, in photo pixels; in photos above 1,200 pixels
        SMALLEST_PART of the long side, if that is more.

    Raises:
      InputError: the installed OpenCV comes without cascades.
    """
    if working_scale(rgb) * min(rgb.shape[:2]) < SMALLEST_SIDE:
        return []  # too narrow for a face after shrinking
    grey = shrunk(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    smallest = max(min_size * working_scale(rgb), SMALLEST_PART * max(grey.shape))
    found = search(grey, FRONTAL, smallest) or search(grey, SECOND_LOOK, smallest) or _profiles(grey, smallest)
    return largest_first(in_photo_of(rgb, grey, _merged(found)))


def working_scale(picture: UInt8[np.ndarray, "H W ..."]) -> float:
    """The factor by which a photo is shrunk before detection; 1 for small photos."""
    return min(1.0, WORKING_SIDE / max(picture.shape[:2]))


def shrunk(picture: UInt8[np.ndarray, "H W ..."]) -> UInt8[np.ndarray, "h w ..."]:
    """A photo, grey or in colour, at the size for detection."""
    scale = working_scale(picture)
    return picture if scale == 1 else cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def largest_first(faces: list[Detection]) -> list[Detection]:
    """By the area of their boxes."""
    return sorted(faces, key=_area, reverse=True)


def in_photo_of(
    rgb: UInt8[np.ndarray, "H W 3"], grey: UInt8[np.ndarray, "h w"], faces: list[Detection]
) -> list[Detection]:
    """Faces that were found in the shrunk photo."""
    back = np.array(rgb.shape[1::-1]) / grey.shape[1::-1]  # sides are rounded when a photo is shrunk
    return [Detection(in_photo(face.box, *back), face.confidence) for face in faces]


def in_photo(box: tuple[float, ...], x_scale: float, y_scale: float) -> tuple[float, float, float, float]:
    """From corners counted from the picture's edge to pixels whose centres are whole numbers."""
    x0, y0, x1, y1 = box
    return (x0 * x_scale - 0.5, y0 * y_scale - 0.5, x1 * x_scale - 0.5, y1 * y_scale - 0.5)


def search(grey: UInt8[np.ndarray, "h w"], cascade: Cascade, smallest: float) -> list[Detection]:
    """What one cascade finds in a shrunk photo, in its pixels, counted from the picture's edge."""
    smallest = round(smallest)
    with _one_at_a_time:
        boxes, _, sums = _classifier(cascade.file).detectMultiScale3(
            grey, SCALE_STEP, cascade.neighbours, minSize=(smallest, smallest), outputRejectLevels=True
        )
    confidences = [_logistic((total - cascade.middling) / cascade.spread) for total in np.ravel(sums)]
    corners = [(float(x), float(y), float(x + w), float(y + h)) for x, y, w, h in boxes]
    return [Detection(*face) for face in zip(corners, confidences, strict=True)]


def _profiles(grey: UInt8[np.ndarray, "h w"], smallest: float) -> list[Detection]:
    """The profile cascade detects one side; the other is detected in the mirrored picture."""
    width = grey.shape[1]
    mirrored = [
        Detection((width - x1, y0, width - x0, y1), confidence)
        for (x0, y0, x1, y1), confidence in search(cv2.flip(grey, 1), PROFILE, smallest)
    ]
    return search(grey, PROFILE, smallest) + mirrored


def _merged(found: list[Detection]) -> list[Detection]:
    """The most confident of the boxes that show the same face."""
    kept: list[Detection] = []
    for face in sorted(found, key=lambda face: face.confidence, reverse=True):
        if all(overlap(face, other) <= SAME_FACE for other in kept):
            kept.append(face)
    return kept


def overlap(a: Detection, b: Detection) -> float:
    """Common area as a part of the smaller box."""
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    return max(width, 0) * max(height, 0) / min(_area(a), _area(b))


def _area(face: Detection) -> float:
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@functools.cache
def _classifier(file: str) -> "cv2.CascadeClassifier":
    path = Path(getattr(getattr(cv2, "data", None), "haarcascades", "")) / file
    if not hasattr(cv2, "CascadeClassifier") or not path.is_file():
        raise InputError(
            f"OpenCV {cv2.__version__} comes without {file}; run: pip install 'opencv-contrib-python>=4.10,<5'"
        )
    return cv2.CascadeClassifier(str(path))
