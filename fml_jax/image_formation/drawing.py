"""Pictures of a mesh with a colour at each vertex, for display; no loss uses them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int, UInt8

from fml_jax.face_model.base import BaseModel
from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.image_formation.raster import seen_triangles
from fml_jax.ops.images import eight_bits

PLAIN_GROUND = np.full((1, 1, 3), 0.93, np.float32)  # behind pictures without a photo
_CLAY = np.array([0.78, 0.76, 0.74])
_LAMP = np.array([-0.35, -0.45, -0.82]) / np.linalg.norm([-0.35, -0.45, -0.82])  # towards the camera's upper left

_FINER = 2  # samples a side of a pixel
# A group of a pixel's samples, as a number with a bit for each: its share of the pixel, and its middle, in samples
# from the pixel's first one.
_SAMPLES = _FINER**2
_MEMBERS = np.arange(2**_SAMPLES)[:, None] >> np.arange(_SAMPLES) & 1
_SIZES = np.maximum(_MEMBERS.sum(axis=1), 1)
_GROUP_SHARE = (_SIZES / _SAMPLES).astype(np.float32)
_GROUP_Y, _GROUP_X = (_MEMBERS @ places / _SIZES for places in np.divmod(np.arange(_SAMPLES), _FINER))


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
    seen = seen_triangles(enlarged, depth, triangles, height=fine, width=fine, front_only=True)
    pixel, number, group = _groups(seen.number)
    row, column = np.divmod(pixel, size)
    x, y = _FINER * column + _GROUP_X[group], _FINER * row + _GROUP_Y[group]
    weights = seen.barycentric(number, x, y) * _GROUP_SHARE[group][:, None]
    corners = np.take(triangles, seen.triangles[number], axis=0)
    starts = 3 * np.cumsum(np.bincount(pixel + 1, minlength=size * size + 1))
    shape = (size * size, len(enlarged))
    return Raster(scipy.sparse.csr_matrix((weights.ravel(), corners.ravel(), starts), shape=shape), size)


def _groups(number: Int[np.ndarray, "fine fine"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The groups of samples of a pixel that show the same triangle, half as many as there are samples.

    Barycentric coordinates are affine: a group's mean is that at its middle.

    Args:
      number: of the triangle at each sample; -1 where there is none.

    Returns:
      The pixel of each group, ascending; its triangle; and which samples it has, a row of `_MEMBERS`.
    """
    size = len(number) // _FINER
    samples = number.reshape(size, _FINER, size, _FINER).transpose(1, 3, 0, 2).reshape(_SAMPLES, -1)
    groups = np.zeros(samples.shape, np.uint8)
    for k, sample in enumerate(samples):
        groups |= (samples == sample).view(np.uint8) << np.uint8(k)
    before = (2 ** np.arange(_SAMPLES, dtype=np.uint8) - 1)[:, None]
    is_first = (groups & before == 0) & (samples >= 0)
    pixel, first = np.divmod(np.flatnonzero(is_first.T), _SAMPLES)
    return pixel, samples[first, pixel], groups[first, pixel]


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
