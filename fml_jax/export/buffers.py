"""What each pixel of a photo shows of a face, as pictures of 16 bits: depth, normals, reflectance, shading, mask."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt16

from fml_jax.face_model.topology import vertex_normals
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.drawing import shown_on_photos
from fml_jax.image_formation.illumination import shading
from fml_jax.image_formation.parts import form_parts, joined_rows, joined_triangles, parts_of
from fml_jax.image_formation.raster import interpolate, rasterize
from fml_jax.reconstruction.reconstruction import in_photo

KINDS = ("depth", "normals", "reflectance", "shading", "mask")
FULL = 65535
DEPTH_STEPS = 10  # of a pixel's value in a millimetre
LIGHT_STEPS = 16384  # of a pixel's value in a shading of 1


def photo_buffers(face: Any, kinds: Sequence[str] = KINDS) -> dict[str, UInt16[np.ndarray, "H W ..."]]:
    """Pictures of a `Reconstruction` in its photo's pixels, of the size of the photo; zero where there is no head.

    Args:
      kinds: "depth" [H, W], distance along the viewing axis in tenths of a millimetre; "normals" [H, W, 3], (n + 1) / 2
        of unit vectors (x right, y up, z towards the camera), 65535 being 1; "reflectance" [H, W, 3], sRGB-encoded,
        65535 being 1; "shading" [H, W, 3], 16384 being 1; "mask" [H, W], 65535 where the photo shows the face or its
        eyes, without skull, ears, neck and the inside of the mouth.
    """
    positions = np.asarray(to_camera(face.vertices, face.code.rotation, face.code.translation))
    normals = np.asarray(vertex_normals(face.model.topology, positions))
    skin, shown, triangles = np.asarray(face.reflectance), shown_on_photos(face.model), np.asarray(face.triangles)
    crop_pixels = np.asarray(project(positions))
    parts = parts_of(face.model)
    if parts is not None:
        points = jax.device_get(form_parts(parts, face.code))
        triangles = joined_triangles(len(positions), triangles, parts)
        crop_pixels = joined_rows(crop_pixels, points.pixels)
        positions, normals = joined_rows(positions, points.positions), joined_rows(normals, points.normals)
        skin, shown = joined_rows(skin, points.reflectance), joined_rows(shown, np.zeros((len(points.pixels), 1)))
    light = np.asarray(shading(normals, face.code.illumination))
    height, width = face.photo.shape[:2]
    raster = rasterize(
        in_photo(face.crop_from_photo, crop_pixels), positions[:, 2], triangles, height=height, width=width
    )
    values = {
        "depth": DEPTH_STEPS * positions[:, 2:],
        "normals": FULL * (normals * [1, -1, -1] + 1) / 2,
        "reflectance": FULL * skin,
        "shading": LIGHT_STEPS * light,
        "mask": FULL * shown,
    }
    return {kind: _picture(values[kind], triangles, raster, kind) for kind in kinds}


def _picture(
    values: Float[np.ndarray, "N C"], triangles: np.ndarray, raster: tuple[np.ndarray, np.ndarray], kind: str
) -> UInt16[np.ndarray, "H W ..."]:
    picture = interpolate(values, triangles, raster)
    if kind == "mask":
        picture = np.where(picture > FULL / 2, FULL, 0)
    return np.squeeze((np.clip(picture, 0, FULL) + 0.5).astype(np.uint16))
