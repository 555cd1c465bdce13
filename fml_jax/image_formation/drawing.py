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


Raster = tuple[np.ndarray, np.ndarray]  # what `rasterize` returns


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
    return painted(paints, triangles, picture_raster(pixels, depth, triangles, size=size))


def picture_raster(
    pixels: Float[np.ndarray, "N 2"], depth: Float[np.ndarray, "N"], triangles: Int[np.ndarray, "T 3"], *, size: int
) -> Raster:
    """What `painted` needs of a mesh; arguments as of `draw`."""
    fine = 2 * size
    enlarged = (np.asarray(pixels) + 0.5) * fine / CROP_SIZE - 0.5
    return rasterize(enlarged, depth, triangles, height=fine, width=fine)


def painted(
    paints: Mapping[str, Paint], triangles: Int[np.ndarray, "T 3"], raster: Raster
) -> dict[str, UInt8[np.ndarray, "S S 3"]]:
    """The pictures of `draw` from the mesh's `picture_raster`."""
    # The paints' colours and opacities are interpolated together: a fifth of the time of one after the other.
    columns = [_columns(paint) for paint in paints.values()]
    layers = interpolate(np.concatenate(columns, axis=1), triangles, raster)
    hit = (raster[0] >= 0)[..., None].astype(np.float32)
    ends = np.cumsum([each.shape[1] for each in columns])[:-1]
    each_layer = zip(paints.items(), np.split(layers, ends, axis=-1), strict=True)
    return {name: _painted(paint, layer, hit) for (name, paint), layer in each_layer}


def clay(normals: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    """Colours of grey clay under a lamp, which show geometry; normals are in camera space."""
    return _CLAY * (0.25 + 0.8 * np.clip(normals @ _LAMP, 0, 1)[:, None])


def shown_on_photos(model: BaseModel) -> Float[np.ndarray, "N 1"]:
    """Opacity of vertices on the photo: face and eyes; a model's bald head would cover hair, its mouth teeth."""
    shown = np.asarray(model.regions["face"])
    if "eyes" in model.regions:
        shown = shown | np.asarray(model.regions["eyes"])
    return shown.astype(np.float32)[:, None]


def _columns(paint):
    """What is interpolated of a paint: colours [N, 3], and opacity where it differs between vertices."""
    colours = np.clip(paint.colours, 0, 1).astype(np.float32)
    return colours if np.ndim(paint.opacity) == 0 else np.concatenate([colours, paint.opacity], 1, dtype=np.float32)


def _painted(paint, layer, hit):
    cover = layer[..., 3:] if layer.shape[-1] > 3 else np.float32(paint.opacity) * hit
    picture = halve(layer[..., :3] * cover) + (1 - halve(cover)) * paint.ground
    return eight_bits(picture)
