"""Where faces are for certain: boxes and rolls from landmarks, and the places that might hold a face.

A reference box has the framing of the detectors' boxes: the crop from it is the crop from the landmarks.
"""

import functools
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.files import complete_or_absent
from fml_jax.photos.crops import HAAR_CENTRE_DOWN, HAAR_SIDE
from fml_jax.photos.landmarks import detect_landmarks, ibug68
from fml_jax.photos.model_files import find_model
from fml_jax.photos.yunet import YUNET_MODEL

Box = tuple[float, float, float, float]  # x0, y0, x1, y1, photo pixels

_EYES = slice(36, 42), slice(42, 48)  # iBUG's, the subject's right one first
_MOUTH = slice(48, 60)
_SUSPICION = 0.3  # YuNet's confidence from which on a place might hold a face


class ReferenceFace(NamedTuple):
    """A face that a detector should find."""

    box: Box
    roll: float | None  # degrees, clockwise; None where it is not known


def reference_face(landmarks68: Float[np.ndarray, "68 2"]) -> ReferenceFace:
    """The face that has these landmarks, photo pixels."""
    roll = landmark_roll(landmarks68)
    turn = math.radians(roll)
    across, down = np.array([math.cos(turn), math.sin(turn)]), np.array([-math.sin(turn), math.cos(turn)])
    upright = np.stack([landmarks68 @ across, landmarks68 @ down], axis=1)
    low, high = upright.min(axis=0), upright.max(axis=0)
    x, y = (low + high) / 2
    side = math.sqrt(np.prod(high - low)) / HAAR_SIDE
    centre = x * across + y * down - HAAR_CENTRE_DOWN * side * down
    return ReferenceFace((*(centre - side / 2).tolist(), *(centre + side / 2).tolist()), roll)


def landmark_roll(landmarks68: Float[np.ndarray, "68 2"]) -> float:
    """How far a head leans clockwise, in degrees in (-180, 180].

    The line across the eyes and the line from the eyes to the mouth, which is turned by a quarter, are added: in
    profile, where the first is short and slanted, the second decides.
    """
    right, left = (landmarks68[eye].mean(axis=0) for eye in _EYES)
    across = left - right
    down = landmarks68[_MOUTH].mean(axis=0) - (left + right) / 2
    return math.degrees(math.atan2(across[1] - down[0], across[0] + down[1]))


def possible_faces(rgb: UInt8[np.ndarray, "H W 3"], look: int = 500) -> list[Box]:
    """All places that YuNet holds for a face with little confidence.

    Args:
      look: the long side in pixels at which the photo is searched, enlarged if need be: bystanders are tiny.
    """
    scale = look / max(rgb.shape[:2])
    size = [max(32, round(scale * side)) for side in rgb.shape[1::-1]]
    network = _eager_network()
    network.setInputSize(size)
    found = network.detect(cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR), cv2.COLOR_RGB2BGR))[1]
    rows = [] if found is None else found[:, :4].astype(float) / scale
    return [(x, y, x + width, y + height) for x, y, width, height in rows if np.isfinite([x, y, width, height]).all()]


class LandmarkCache:
    """MediaPipe's landmarks of photos, kept in a JSON file so that they are detected once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, list | None] = json.loads(file.read_text()) if file.is_file() else {}
        self._saved = len(self._known)

    def find(self, name: str, rgb: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "68 2"] | None:
        """The landmarks of the most prominent face of the photo of this name; None if there is none."""
        if name not in self._known:
            points = detect_landmarks(rgb)
            self._known[name] = None if points is None else np.round(ibug68(points).astype(float), 2).tolist()
        known = self._known[name]
        return None if known is None else np.array(known)

    def save(self) -> None:
        """Writes the file if something was added."""
        if len(self._known) > self._saved:
            with complete_or_absent(self._file) as partial:
                partial.write_text(json.dumps(self._known))
            self._saved = len(self._known)


def overlaps(box: Box, others: Iterable[Box]) -> bool:
    """Whether a box has any area in common with one of the others."""
    return any(
        min(box[2], other[2]) > max(box[0], other[0]) and min(box[3], other[3]) > max(box[1], other[1])
        for other in others
    )


@functools.cache
def _eager_network() -> "cv2.FaceDetectorYN":
    return cv2.FaceDetectorYN.create(str(find_model(YUNET_MODEL)), "", (320, 320), _SUSPICION)
