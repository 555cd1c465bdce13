"""Label maps: which pixels of a crop show its face, and which an object in front of the face.

Labels are the classes BACKGROUND, FACE and OCCLUDER of `photos.occlusion_classes`, and those below.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.photos.crops import CROP_SIZE
from fml_jax.photos.occlusion_classes import BACKGROUND, FACE, OCCLUDER

LIKELY_FACE = 3  # of photos: within the landmarks, where objects are rare and beards are not
LIKELY_BACKGROUND = 4  # of photos: well outside the landmarks
UNKNOWN = 255  # of photos, and of renders in corpora that have no label maps

LABEL_SIZE = 120  # pixels of a label map's side; one label for 2×2 pixels of the crop
_PIXELS = CROP_SIZE // LABEL_SIZE


def label_map(face: Float[np.ndarray, "240 240"], hidden: Float[np.ndarray, "240 240"]) -> UInt8[np.ndarray, "120 120"]:
    """The labels of a crop.

    Args:
      face: share of each pixel that the face would cover without objects in front of it, [0, 1].
      hidden: opacity of the objects in front, [0, 1].
    """
    size = (LABEL_SIZE, LABEL_SIZE)
    all_of_it = cv2.resize(np.asarray(face, np.float32), size, interpolation=cv2.INTER_AREA)
    covered = cv2.resize(np.asarray(face * hidden, np.float32), size, interpolation=cv2.INTER_AREA)
    labels = np.where(covered > 0.5 * all_of_it, OCCLUDER, FACE)
    return np.where(all_of_it >= 0.5, labels, BACKGROUND).astype(np.uint8)


def occluded_share(labels: UInt8[np.ndarray, "120 120"]) -> float:
    """The share of the face's pixels that objects hide; 0 where no face is."""
    hidden, shown = int((labels == OCCLUDER).sum()), int((labels == FACE).sum())
    return hidden / max(1, hidden + shown)


def unknown_labels() -> UInt8[np.ndarray, "120 120"]:
    """The label map of a crop about which nothing is known."""
    return np.full((LABEL_SIZE, LABEL_SIZE), UNKNOWN, np.uint8)


def moved_labels(
    labels: UInt8[np.ndarray, "120 120"], affine: Float[np.ndarray, "2 3"]
) -> UInt8[np.ndarray, "120 120"]:
    """The label map of a crop whose pixels an affine has moved; the border is continued.

    Args:
      affine: old to new pixels of the crop.
    """
    # Label (0, 0) has its centre between the crop's pixels 0 and 1.
    offset = (_PIXELS - 1) / 2
    linear = affine[:, :2]
    shift = (affine[:, 2] + linear @ np.full(2, offset) - offset) / _PIXELS
    return cv2.warpAffine(
        labels,
        np.column_stack([linear, shift]),
        (LABEL_SIZE, LABEL_SIZE),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_REPLICATE,
    )


def cover_labels(labels: UInt8[np.ndarray, "120 120"], rows: slice, columns: slice) -> None:
    """Marks, in place, what an opaque rectangle hides of the face.

    Args:
      rows, columns: of the rectangle, pixels of the crop.
    """
    part = labels[_halved(rows), _halved(columns)]
    part[part == FACE] = OCCLUDER


def _halved(pixels: slice) -> slice:
    """The labels of which more than half of the pixels are in a range."""
    return slice(round(pixels.start / _PIXELS), round(pixels.stop / _PIXELS))
