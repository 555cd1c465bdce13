"""Layers: pictures of occluders with their opacity, drawn from surfaces and laid over the picture of a face."""

import math
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from fml_jax.codes import FaceCode
from fml_jax.image_formation.camera import CROP_SIZE, project, to_camera
from fml_jax.image_formation.illumination import shading
from fml_jax.image_formation.raster import seen_triangles, shares_at_hits
from fml_jax.image_formation.rotation import rotation_matrix
from fml_jax.ops.images import bounding_box
from fml_jax.ops.small_matrices import transform
from fml_jax.synthetic.highlights import highlights
from fml_jax.synthetic.light import Light
from fml_jax.synthetic.occluders.surfaces import Surface

_FINER = 2  # pixels of the raster in a pixel of the crop, along each side
_PADDED = 4096  # vertices are padded to a multiple of this, so that few shapes are compiled
_SHARPNESS = 40.0  # of highlights
_CONTACT, _CONTACT_WIDTH = 0.3, 5.0  # strength and width (crop pixels) of the shade beside an occluder


class Layer(NamedTuple):
    """Something in front of the face."""

    colours: Float[np.ndarray, "240 240 3"]  # RGB, [0, 1]
    opacity: Float[np.ndarray, "240 240"]  # [0, 1]


class SeenSurface(NamedTuple):
    """A surface as the camera of a crop sees it."""

    surface: Surface
    positions: Float[np.ndarray, "V 3"]  # camera space, mm
    pixels: Float[np.ndarray, "V 2"]  # of the crop
    colours: Float[np.ndarray, "V 3"]  # RGB


def seen_surface(surface: Surface, code: FaceCode, light: Light) -> SeenSurface:
    """A surface under a code's pose and a light that agrees with the code's illumination."""
    count = len(surface.vertices)
    size = -(-count // _PADDED) * _PADDED
    padded = np.zeros((2, size, 3), np.float32)
    padded[:, :count] = surface.vertices, surface.normals
    positions, pixels, normals, shade = (np.asarray(each)[:count] for each in _in_camera(*padded, code))
    colours = surface.reflectance * np.maximum(shade, 0.03)
    colours = colours + highlights(normals.T, surface.gloss.astype(np.float32), _SHARPNESS, light=light).T
    return SeenSurface(surface, positions, pixels, np.clip(colours, 0, 1))


def draw_layer(seen: SeenSurface, depth: Float[np.ndarray, "240 240"]) -> Layer:
    """The picture of a surface where it is nearer than the head.

    Args:
      depth: of the head at each pixel, mm; infinite beside it.
    """
    layer = Layer(np.zeros((CROP_SIZE, CROP_SIZE, 3), np.float32), np.zeros((CROP_SIZE, CROP_SIZE), np.float32))
    low = np.clip(np.floor(seen.pixels.min(axis=0)), 0, CROP_SIZE).astype(int)
    high = np.clip(np.ceil(seen.pixels.max(axis=0)) + 1, 0, CROP_SIZE).astype(int)
    width, height = (high - low).tolist()
    if width <= 0 or height <= 0:
        return layer
    # Only the surface's bounding box is drawn.
    pixels = _FINER * (seen.pixels - low) + (_FINER - 1) / 2
    triangles = seen.surface.triangles
    size = _FINER * height, _FINER * width
    raster = seen_triangles(pixels, seen.positions[:, 2], triangles, height=size[0], width=size[1])
    attributes = np.column_stack([seen.colours, seen.surface.opacity, seen.positions[:, 2]]).astype(np.float32)
    drawn = shares_at_hits(raster, triangles, len(attributes)) @ attributes
    hit = np.flatnonzero(raster.number >= 0)
    box = slice(low[1], high[1]), slice(low[0], high[0])
    behind = np.repeat(np.repeat(depth[box], _FINER, axis=0), _FINER, axis=1)
    drawn[:, 3] *= drawn[:, 4] < np.take(behind, hit)
    drawn[:, :3] *= drawn[:, 3:4]
    whole = np.zeros((size[0] * size[1], 4), np.float32)
    whole[hit] = drawn[:, :4]
    whole = whole.reshape(*size, 4)
    shrunk = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    layer.colours[box] = shrunk[:, :, :3] / np.maximum(shrunk[:, :, 3:], 1e-4)
    layer.opacity[box] = shrunk[:, :, 3]
    return layer


def laid_over(picture: Float[np.ndarray, "240 240 3"], layer: Layer) -> Float[np.ndarray, "240 240 3"]:
    """The picture with a layer in front of it, which shades what is beside it a little."""
    picture = picture.copy()
    box = bounding_box(layer.opacity, beside=math.ceil(4 * _CONTACT_WIDTH) + 1)  # where OpenCV's Gaussian has ended
    opacity = layer.opacity[box]
    if not opacity.size:
        return picture
    shaded = picture[box] * (1 - np.float32(_CONTACT) * cv2.GaussianBlur(opacity, (0, 0), _CONTACT_WIDTH))[:, :, None]
    picture[box] = shaded + opacity[:, :, None] * (layer.colours[box] - shaded)
    return picture


@jax.jit
def _in_camera(vertices, normals, code):
    """Positions, pixels, normals and shading of points; normals are turned to the camera."""
    positions = to_camera(vertices, code.rotation, code.translation)
    normals = transform(normals, rotation_matrix(code.rotation))
    normals = jnp.where(normals[:, 2:] > 0, -normals, normals)
    return positions, project(positions), normals, shading(normals, code.illumination)
