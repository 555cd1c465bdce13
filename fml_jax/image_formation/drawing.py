"""Pictures of a mesh with a colour at each vertex, for display; no loss uses them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int, UInt8

from fml_jax.face_model.base import BaseModel
from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.image_formation.raster import seen_pixels
from fml_jax.ops.images import eight_bits

PLAIN_GROUND = np.full((1, 1, 3), 0.93, np.float32)  # behind pictures without a photo
_CLAY = np.array([0.78, 0.76, 0.74])
_LAMP = np.array([-0.35, -0.45, -0.82]) / np.linalg.norm([-0.35, -0.45, -0.82])  # towards the camera's upper left

_FINER = 2  # samples a side of a pixel


class Raster(NamedTuple):
    """How the S × S pixels of a picture follow from a mesh's vertices."""

    shares: scipy.sparse.csr_matrix  # [S², N], of each vertex in a pixel
    size: int  # S


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
    return painted(paints, picture_raster(pixels, depth, triangles, size=size))


def picture_raster(
    pixels: Float[np.ndarray, "N 2"], depth: Float[np.ndarray, "N"], triangles: Int[np.ndarray, "T 3"], *, size: int
) -> Raster:
    """What `painted` needs of a mesh; arguments as of `draw`."""
    fine = _FINER * size
    enlarged = (np.asarray(pixels) + 0.5) * fine / CROP_SIZE - 0.5
    place, triangle, barycentric = seen_pixels(enlarged, depth, triangles, height=fine, width=fine, front_only=True)
    row, column = np.divmod(place, fine)
    corners, weights = triangles[triangle], barycentric / _FINER**2
    pixel = np.repeat(row // _FINER * size + column // _FINER, 3)
    shape = (size * size, len(enlarged))
    return Raster(scipy.sparse.csr_matrix((weights.ravel(), (pixel, corners.ravel())), shape=shape), size)


def painted(paints: Mapping[str, Paint], raster: Raster) -> dict[str, UInt8[np.ndarray, "S S 3"]]:
    """The pictures of `draw` from the mesh's `picture_raster`."""
    # All paints' columns together: a fifth of the time of one after the other.
    columns = [_columns(paint) for paint in paints.values()]
    layers = (raster.shares @ np.concatenate(columns, axis=1)).reshape(raster.size, raster.size, -1)
    ends = np.cumsum([each.shape[1] for each in columns])[:-1]
    each_layer = zip(paints.items(), np.split(layers, ends, axis=-1), strict=True)
    return {
        name: eight_bits(layer[..., :3] + (1 - layer[..., 3:]) * paint.ground) for (name, paint), layer in each_layer
    }


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
    """What is interpolated of a paint: colours times opacity, and opacity, [N, 4]."""
    opacity = np.broadcast_to(np.asarray(paint.opacity, np.float32), (len(paint.colours), 1))
    return np.concatenate([np.clip(paint.colours, 0, 1) * opacity, opacity], axis=1, dtype=np.float32)
