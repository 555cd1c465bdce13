"""Where the crop about a face should be, once the face has been seen in another crop."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from fml_jax.image_formation.rotation import head_angles
from fml_jax.ops.arrays import Array
from fml_jax.photos.crops import CROP_SIZE, apply_affine, crop_from_landmarks
from fml_jax.reconstruction.reconstruction import in_photo


def framed_by(
    landmarks: Float[Array, "B 68 2"], rotations: Float[Array, "B 3"], affines: Sequence[np.ndarray]
) -> list[Float[np.ndarray, "2 3"]]:
    """Crops about faces, upright, as affines from the photo.

    Args:
      landmarks: in pixels of the crops that `affines` lead to from the photo.
      rotations: of the heads in these crops, axis-angle.
    """
    rolls = head_angles(rotations)[:, 2].tolist()
    return [
        crop_from_landmarks(in_photo(affine, points), math.radians(roll) - math.atan2(affine[1, 0], affine[0, 0]))
        for affine, points, roll in zip(affines, landmarks, rolls, strict=True)
    ]


def corner_shift(before: Float[np.ndarray, "2 3"], after: Float[np.ndarray, "2 3"]) -> float:
    """The largest displacement of a corner of the crop between two framings, pixels."""
    end = CROP_SIZE - 1
    corners = np.array([[0, 0], [end, 0], [0, end], [end, end]], np.float64)
    return float(np.linalg.norm(apply_affine(after, in_photo(before, corners)) - corners, axis=1).max())
