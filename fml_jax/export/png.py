"""Pictures as PNG and JPEG."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8, UInt16

_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


def write_png(path: Path, pixels: UInt8[np.ndarray, "H W 3"] | UInt16[np.ndarray, "H W ..."]) -> None:
    """Writes a picture of RGB or grey values.

    Raises:
      OSError: the file cannot be written.
    """
    # OpenCV's own writer crashes on names that are not UTF-8, and fails without a reason.
    path.write_bytes(_encoded(".png", pixels))


def as_jpeg(rgb: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """An RGB picture as the content of a JPEG file, with little loss."""
    return _encoded(".jpg", rgb, _JPEG)


def _encoded(ending: str, pixels: np.ndarray, settings: tuple[int, ...] = ()) -> bytes:
    ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return cv2.imencode(ending, ordered, settings)[1].tobytes()
