"""Confidence of landmarks, from their movement when the same face is detected again.

MediaPipe gives no confidence of single landmarks. Where it guesses (hair over a brow, a hand, the far cheek of a turned
head), the result changes with the framing, and mirroring the picture does not mirror the result. The face is therefore
detected in two more views, one mirrored and one shifted.
"""

import math

import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.photos.landmarks import IBUG_MIRROR, detect_landmarks, ibug68

HALFWAY = 0.02  # disagreement, in sizes √(w·h) of the face, at which the confidence is 1/2
# The further views: (side of the view and its shift in face sizes, mirrored or not).
VIEWS = ((1.8, (0.0, 0.0), True), (2.1, (0.15, -0.12), False))
ANOTHER_FACE = 0.3  # mean distance in face sizes; a detection that is farther away is another face


def landmark_confidence(
    rgb: UInt8[np.ndarray, "H W 3"], landmarks68: Float[np.ndarray, "68 2"]
) -> Float[np.ndarray, "68"]:
    """The confidence of each landmark.

    Args:
      rgb: the photo.
      landmarks68: the landmarks of the first detection, photo pixels.

    Returns:
      Numbers in [0, 1]; 0 outside the photo, and for all landmarks if no further view finds this face.
    """
    size = math.sqrt(np.prod(np.ptp(landmarks68, axis=0)))
    others = [points for view in VIEWS if (points := _detect_in_view(rgb, landmarks68, size, *view)) is not None]
    if not others:
        return np.zeros(68, np.float32)
    views = np.stack([landmarks68, *others])
    spread = np.sqrt(((views - views.mean(axis=0)) ** 2).sum(axis=2).sum(axis=0) / (len(views) - 1)) / size
    confidence = 1 / (1 + (spread / HALFWAY) ** 2) * (1 + len(others)) / (1 + len(VIEWS))
    inside = ((landmarks68 >= -0.5) & (landmarks68 <= np.array(rgb.shape[1::-1]) - 0.5)).all(axis=1)
    return np.where(inside, confidence, 0).astype(np.float32)


def _detect_in_view(rgb, points, size, side, shift, mirrored):
    """The 68 points that are detected in a view about the face, in photo pixels; None if this face is not found."""
    centre = (points.min(axis=0) + points.max(axis=0)) / 2 + size * np.array(shift)
    low = np.clip(np.round(centre - side * size / 2), 0, None).astype(int)
    high = np.clip(np.round(centre + side * size / 2) + 1, 0, rgb.shape[1::-1]).astype(int)
    if (high - low < 2).any():
        return None
    view = rgb[low[1] : high[1], low[0] : high[0]]
    found = detect_landmarks(np.ascontiguousarray(view[:, ::-1] if mirrored else view))
    if found is None:
        return None
    again = ibug68(found)
    if mirrored:
        again = (again * np.array([-1, 1], np.float32) + np.array([view.shape[1] - 1, 0], np.float32))[IBUG_MIRROR]
    again = again + low.astype(np.float32)
    return again if np.linalg.norm(again - points, axis=1).mean() < ANOTHER_FACE * size else None
