"""What each pixel of a photo shows of a face, as pictures of 16 bits: depth, normals, reflectance, shading, mask."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt16

from fml_jax.export.formats import BUFFERS
from fml_jax.image_formation.raster import interpolate, rasterize
from fml_jax.reconstruction.head_view import head_view
from fml_jax.reconstruction.reconstruction import in_photo

FULL = 65535
DEPTH_STEPS = 10  # of a pixel's value in a millimetre
LIGHT_STEPS = 16384  # of a pixel's value in a shading of 1


def photo_buffers(face: Any, kinds: Sequence[str] = BUFFERS) -> dict[str, UInt16[np.ndarray, "H W ..."]]:
    """Pictures of a `Reconstruction` in its photo's pixels, of the size of the photo; zero where there is no head.

    Args:
      kinds: "depth" [H, W], distance along the viewing axis in tenths of a millimetre; "normals" [H, W, 3], (n + 1) / 2
        of unit vectors (x right, y up, z towards the camera), 65535 being 1; "reflectance" [H, W, 3], sRGB-encoded,
        65535 being 1; "shading" [H, W, 3], 16384 being 1; "mask" [H, W], 65535 where the photo shows the face or its
        eyes, without skull, ears, neck, the inside of the mouth, and objects in front of the face.
    """
    view = head_view(face)
    height, width = face.photo.shape[:2]
    places, depth = in_photo(face.crop_from_photo, view.pixels), view.positions[:, 2]
    raster = rasterize(places, depth, view.triangles, height=height, width=width)
    values = {
        "depth": DEPTH_STEPS * view.positions[:, 2:],
        "normals": FULL * (view.normals * [1, -1, -1] + 1) / 2,
        "reflectance": FULL * view.reflectance,
        "shading": LIGHT_STEPS * view.light,
        "mask": FULL * view.shown,
    }
    pictures = {kind: _picture(values[kind], view.triangles, raster, kind) for kind in kinds}
    if "mask" in pictures:
        pictures["mask"] = np.where(face.mask < 0.5, np.uint16(0), pictures["mask"])
    return pictures


def _picture(
    values: Float[np.ndarray, "N C"], triangles: np.ndarray, raster: tuple[np.ndarray, np.ndarray], kind: str
) -> UInt16[np.ndarray, "H W ..."]:
    picture = interpolate(values, triangles, raster)
    if kind == "mask":
        picture = np.where(picture > FULL / 2, FULL, 0)
    return np.squeeze((np.clip(picture, 0, FULL) + 0.5).astype(np.uint16))
