"""Predicted occlusion in the pixels of a photo."""

import cv2
import numpy as np
from jaxtyping import Float

from fml_jax.image_formation.occlusion import OCCLUSION_SIZE
from fml_jax.photos.crops import CROP_SIZE

_PIXELS = CROP_SIZE // OCCLUSION_SIZE


def unoccluded_photo(
    unoccluded: Float[np.ndarray, "60 60"] | None, crop_from_photo: Float[np.ndarray, "2 3"], shape: tuple[int, ...]
) -> Float[np.ndarray, "H W"]:
    """A map over the places of a crop in the pixels of its photo; 1 beyond the crop, and where there is no map.

    Args:
      shape: H and W of the photo.
    """
    height, width = shape
    if unoccluded is None:
        return np.ones((height, width), np.float32)
    place_from_photo = np.array(crop_from_photo, np.float64) / _PIXELS
    place_from_photo[:, 2] -= (_PIXELS - 1) / 2 / _PIXELS
    return cv2.warpAffine(
        np.asarray(unoccluded, np.float32),
        place_from_photo,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=1.0,
    )
