"""How sure a landmark is: by how far it moves when the same face is looked at again.

MediaPipe says nothing of its own certainty. But where it guesses (hair over a brow, a hand, a turned
cheek) the guess changes with the framing, and a mirrored picture is guessed otherwise than the
picture's mirror. So the face is looked at twice more, mirrored and shifted.
"""

import math

import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.photos.landmarks import IBUG_MIRROR, detect_landmarks, ibug68

HALFWAY = 0.02  # disagreement, in sizes √(w·h) of the face, at which a landmark is half sure
# How the second looks frame the face: (side and shift of the view in face sizes, mirrored or not).
LOOKS = ((1.8, (0.0, 0.0), True), (2.1, (0.15, -0.12), False))
ANOTHER_FACE = 0.3  # sizes of the face: a look that is off by more on average has fallen on a neighbour


def landmark_confidence(
    rgb: UInt8[np.ndarray, "H W 3"], landmarks68: Float[np.ndarray, "68 2"]
) -> Float[np.ndarray, "68"]:
    """The confidence of each landmark, in [0, 1]; 0 outside the photo, all 0 when no second look sees this face.

    Args:
      rgb: the photo.
      landmarks68: what the first look found, photo pixels.
    """
    size = math.sqrt(np.prod(np.ptp(landmarks68, axis=0)))
    others = [points for look in LOOKS if (points := _look_again(rgb, landmarks68, size, *look)) is not None]
    if not others:
        return np.zeros(68, np.float32)
    views = np.stack([landmarks68, *others])
    spread = np.sqrt(((views - views.mean(axis=0)) ** 2).sum(axis=2).sum(axis=0) / (len(views) - 1)) / size
    confidence = 1 / (1 + (spread / HALFWAY) ** 2) * (1 + len(others)) / (1 + len(LOOKS))
    inside = ((landmarks68 >= -0.5) & (landmarks68 <= np.array(rgb.shape[1::-1]) - 0.5)).all(axis=1)
    return np.where(inside, confidence, 0).astype(np.float32)


def _look_again(rgb, points, size, side, shift, mirrored):
    """The 68 points of a view about the face, in photo pixels; None where this face is not seen."""
    centre = (points.min(axis=0) + points.max(axis=0)) / 2 + size * np.array(shift)
    low = np.clip(np.round(centre - side * size / 2), 0, None).astype(int)
    high = np.clip(np.round(centre + side * size / 2) + 1, 0, rgb.shape[1::-1]).astype(int)
    if (high - low < 2).any():
        return None
    view = rgb[low[1] : high[1], low[0] : high[0]]
    found = detect_landmarks(np.ascontiguousarray(view[:, ::-1] if mirrored else view))
    if found is None:
        return None
    seen = ibug68(found)
    if mirrored:
        seen = (seen * np.float32([-1, 1]) + np.float32([view.shape[1] - 1, 0]))[IBUG_MIRROR]
    seen = seen + low.astype(np.float32)
    return seen if np.linalg.norm(seen - points, axis=1).mean() < ANOTHER_FACE * size else None
