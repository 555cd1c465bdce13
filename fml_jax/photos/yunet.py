"""YuNet, a small convolutional face detector that OpenCV runs; its boxes are converted to those of Haar cascades."""

import functools
import threading

import cv2
import numpy as np
from jaxtyping import UInt8

from fml_jax.errors import InputError
from fml_jax.photos.boxes import SMALLEST_SIDE, Box, Detection, haar_box, in_photo, largest_first, shrunk, working_scale
from fml_jax.photos.model_files import ModelFile, find_model

_ONNX_BEGINS = b"\x08"  # the tag of the format's first field, its version

YUNET_MODEL = ModelFile(
    title="the face detector YuNet",
    name="face_detection_yunet_2026may.onnx",
    sha256="ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
    variable="FML_YUNET",
    address="https://github.com/opencv/opencv_zoo/raw/47534e27c9851bb1128ccc0102f1145e27f23f98/models/"
    "face_detection_yunet/face_detection_yunet_2026may.onnx",
    looks_right=lambda path: path.open("rb").read(1) == _ONNX_BEGINS,
)

# How the box of the 68 landmarks sits in YuNet's, in √(w·h) of that: medians over 594 LFW photos.
CENTRE_DOWN = 0.145
SIDE = 0.877

MIN_CONFIDENCE = 0.8  # finds as many of these faces as 0.5 does; 0.9 misses eight

NARROWEST = 64  # pixels; where a side is 32 or less, OpenCV 4.14 reads memory that it has not written

_one_at_a_time = threading.Lock()  # its input size is a state


def detect_faces_with_yunet(rgb: UInt8[np.ndarray, "H W 3"], min_size: float = 60) -> list[Detection]:
    """The faces in a photo, largest first, in boxes that Haar's cascades would give on average.

    Args:
      rgb: a photo.
      min_size: side of the smallest box that is kept, in photo pixels.

    Raises:
      InputError: the model file is not available, or OpenCV cannot read it.
    """
    if working_scale(rgb) * min(rgb.shape[:2]) < SMALLEST_SIDE:
        return []  # no face fits in
    small = shrunk(rgb)
    searched = _widened(small)
    with _one_at_a_time:
        network = _network()
        network.setInputSize(searched.shape[1::-1])
        found = network.detect(cv2.cvtColor(searched, cv2.COLOR_RGB2BGR))[1]
    found = np.zeros((0, 15)) if found is None else found[np.isfinite(found).all(axis=1)]
    back = np.array(rgb.shape[1::-1]) / small.shape[1::-1]
    faces = [Detection(in_photo(_as_haar(*row[:4].tolist()), *back), min(float(row[14]), 1.0)) for row in found]
    return largest_first([face for face in faces if face.box[2] - face.box[0] >= min_size])


def _widened(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """The picture with black below and to the right where a side is too short for OpenCV."""
    height, width = picture.shape[:2]
    below, right = max(0, NARROWEST - height), max(0, NARROWEST - width)
    return cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_CONSTANT)


def _as_haar(x: float, y: float, width: float, height: float) -> Box:
    return haar_box((x, y, x + width, y + height), CENTRE_DOWN, SIDE)


@functools.cache
def _network() -> "cv2.FaceDetectorYN":
    path = find_model(YUNET_MODEL)
    try:
        return cv2.FaceDetectorYN.create(str(path), "", (320, 320), MIN_CONFIDENCE)
    except cv2.error as error:
        remedy = f"{YUNET_MODEL.title} is {YUNET_MODEL.address}"
        raise InputError(f"{path}: OpenCV {cv2.__version__} cannot read it ({error.err.strip()}); {remedy}") from error
