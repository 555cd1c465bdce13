"""Pictures as PNG."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8


def write_png(path: Path, rgb: UInt8[np.ndarray, "H W 3"]) -> None:
    """Writes an RGB picture.

    Raises:
      OSError: the file cannot be written.
    """
    # OpenCV's own writer crashes on names that are not UTF-8, and fails without a reason.
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes())
