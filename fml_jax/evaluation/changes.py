"""Changes of a photo that should not change the face: mirror, shifted box, half size, blur, JPEG."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.evaluation.reference_faces import Box
from fml_jax.photos.crops import apply_affine
from fml_jax.photos.landmarks import IBUG_MIRROR

SHIFT = 0.03  # of the box's side
BLUR = 0.015  # standard deviation, of the box's side
JPEG_QUALITY = 30


class Changed(NamedTuple):
    """A changed photo."""

    kind: str
    rgb: UInt8[np.ndarray, "h w 3"]
    box: Box
    original: Float[np.ndarray, "2 3"]  # affine from its pixels to those of the original
    mirrored: bool = False

    def landmarks(self, found: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "68 2"]:
        """Landmarks of the changed photo, in pixels and in the order of the original."""
        return apply_affine(self.original, found)[IBUG_MIRROR] if self.mirrored else apply_affine(self.original, found)


def changes_of(rgb: UInt8[np.ndarray, "H W 3"], box: Box) -> list[Changed]:
    """The photo itself, kind "none", then its changes; the kind "shifted" is there four times."""
    same = np.eye(2, 3)
    side = max(box[2] - box[0], box[3] - box[1])
    shifts = [(SHIFT * side * x, SHIFT * side * y) for x, y in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    blurred = cv2.GaussianBlur(rgb, (0, 0), BLUR * side)
    return [
        Changed("none", rgb, box, same),
        _mirrored(rgb, box),
        *(Changed("shifted", rgb, (box[0] + x, box[1] + y, box[2] + x, box[3] + y), same) for x, y in shifts),
        _halved(rgb, box),
        Changed("blurred", blurred, box, same),
        Changed("JPEG", _as_jpeg(rgb), box, same),
    ]


def _mirrored(rgb, box) -> Changed:
    width = rgb.shape[1]
    back = np.array([[-1.0, 0, width - 1], [0, 1, 0]])
    mirrored_box = (width - 1 - box[2], box[1], width - 1 - box[0], box[3])
    return Changed("mirrored", np.ascontiguousarray(rgb[:, ::-1]), mirrored_box, back, mirrored=True)


def _halved(rgb, box) -> Changed:
    size = [max(1, round(side / 2)) for side in rgb.shape[1::-1]]
    scale = np.array(rgb.shape[1::-1]) / size
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    back = np.column_stack([np.diag(scale), scale / 2 - 0.5])  # pixel centres
    x, y = scale
    x0, y0, x1, y1 = box
    return Changed(
        "half size",
        small,
        ((x0 + 0.5) / x - 0.5, (y0 + 0.5) / y - 0.5, (x1 + 0.5) / x - 0.5, (y1 + 0.5) / y - 0.5),
        back,
    )


def _as_jpeg(rgb):
    coded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return cv2.cvtColor(cv2.imdecode(coded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
