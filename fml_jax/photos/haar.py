"""OpenCV's Haar cascades, which every OpenCV 4 wheel carries: upright faces, in boxes that set the convention."""

import functools
import math
import threading
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from fml_jax.errors import InputError
from fml_jax.photos.boxes import SMALLEST_SIDE, Detection, in_photo, largest_first, merged, shrunk, working_scale

SMALLEST_PART = 1 / 20  # of the photo's long side: smaller faces are not looked for
SCALE_STEP = 1.1
SAME_FACE = 0.3  # boxes that overlap by more than this part of the smaller one show the same face


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


def detect_faces_with_haar(rgb: UInt8[np.ndarray, "H W 3"], min_size: float = 60) -> list[Detection]:
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
    return largest_first(in_photo_of(rgb, grey, merged(found, SAME_FACE)))


def in_photo_of(
    rgb: UInt8[np.ndarray, "H W 3"], grey: UInt8[np.ndarray, "h w"], faces: list[Detection]
) -> list[Detection]:
    """Faces that were found in the shrunk photo."""
    back = np.array(rgb.shape[1::-1]) / grey.shape[1::-1]  # sides are rounded when a photo is shrunk
    return [Detection(in_photo(face.box, *back), face.confidence) for face in faces]


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
        face._replace(box=(width - face.box[2], face.box[1], width - face.box[0], face.box[3]))
        for face in search(cv2.flip(grey, 1), PROFILE, smallest)
    ]
    return search(grey, PROFILE, smallest) + mirrored


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
