"""Pictures of a mesh with a colour at each vertex, for display; no loss uses them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from fml_jax.face_model.base import BaseModel
from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.image_formation.raster import interpolate, rasterize
from fml_jax.ops.images import eight_bits, halve

PLAIN_GROUND = np.full((1, 1, 3), 0.93, np.float32)  # behind pictures without a photo
_CLAY = np.array([0.78, 0.76, 0.74])
_LAMP = np.array([-0.35, -0.45, -0.82]) / np.linalg.norm([-0.35, -0.45, -0.82])  # towards the camera's upper left


class Paint(NamedTuple):
    """Colours, background and opacity of one picture of a mesh."""

    colours: np.ndarray  # [N, 3], RGB; clipped to [0, 1]
    ground: np.ndarray = PLAIN_GROUND  # RGB in [0, 1], [S, S, 3] or what broadcasts to it
    opacity: np.ndarray | float = 1.0  # [N, 1], or of the whole mesh


def draw(
    pixels: Float[np.ndarray, "N 2"],
    depth: Float[np.ndarray, "N"],
    triangles: Int[np.ndarray, "T 3"],
    *,
    paints: Mapping[str, Paint],
    size: int,
) -> dict[str, UInt8[np.ndarray, "S S 3"]]:
    """Pictures of one mesh, rasterised once for all, at twice the size and averaged: smooth edges.

    Args:
      pixels: projected vertices in pixels of the 240-pixel crop.
      depth: along the viewing axis, mm.
      paints: by the names that the pictures shall have.
      size: S, pixels of a picture, which shows the whole crop.
    """
    fine = 2 * size
    enlarged = (np.asarray(pixels) + 0.5) * fine / CROP_SIZE - 0.5
    raster = rasterize(enlarged, depth, triangles, height=fine, width=fine)
    hit = (raster[0] >= 0)[..., None].astype(np.float32)
    return {name: _painted(paint, triangles, raster, hit) for name, paint in paints.items()}


def clay(normals: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    """Colours of grey clay under a lamp, which show geometry; normals are in camera space."""
    return _CLAY * (0.25 + 0.8 * np.clip(normals @ _LAMP, 0, 1)[:, None])


def shown_on_photos(model: BaseModel) -> Float[np.ndarray, "N 1"]:
    """Opacity of vertices on the photo: face and eyes; a model's bald head would cover hair, its mouth teeth."""
    shown = np.asarray(model.regions["face"])
    if "eyes" in model.regions:
        shown = shown | np.asarray(model.regions["eyes"])
    return shown.astype(np.float32)[:, None]


def _painted(paint, triangles, raster, hit):
    colours = np.clip(paint.colours, 0, 1).astype(np.float32)
    opacity = np.broadcast_to(np.asarray(paint.opacity, np.float32), (len(colours), 1))
    cover = interpolate(opacity, triangles, raster) * hit
    mesh = interpolate(colours, triangles, raster) * cover
    picture = halve(mesh) + (1 - halve(cover)) * paint.ground
    return eight_bits(picture)
