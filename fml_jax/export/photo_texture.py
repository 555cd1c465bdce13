"""A face's texture from its photo: its colours without their light where it shows skin; elsewhere the reflectance."""

from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from fml_jax.export.textures import atlas_of
from fml_jax.face_model.topology import vertex_normals
from fml_jax.image_formation.camera import CROP_SIZE, project, to_camera
from fml_jax.image_formation.illumination import shading
from fml_jax.image_formation.raster import interpolate, rasterize
from fml_jax.ops.images import eight_bits, unit_range

_GRAZING, _FRONTAL = 0.25, 0.6  # cosines of the viewing angle from which the photo begins to count, and fully counts
_HIDDEN = 4.0  # mm: a point that lies so far behind the nearest surface is hidden by it
_DARKEST = 0.15  # shading under which a photo's colour is too uncertain
# RGB: where the photo differs so much from the reflectance over a patch, it shows hair, glasses or a hand.
_FOREIGN = 0.22
_PATCH, _FEATHER = 12.0, 8.0  # texels, standard deviations of Gaussians
_SCALE = 2  # the depth picture's pixels in a pixel of the crop


def photo_texture(face: Any) -> UInt8[np.ndarray, "S S 3"]:
    """The texture of a `Reconstruction`, completed from its photo.

    The photo's colours are divided by the face's shading, so that the texture is lit by whoever shows it. Where the
    photo's part ends, it fades with the viewing angle into the reflectance.
    """
    atlas = atlas_of(face.model)
    plain = atlas.baked(face.reflectance)
    photo, light = _seen(face), atlas.baked(_light(face))
    skin = photo / np.maximum(light, _DARKEST)
    weight = _weight(face, light)
    foreign = np.abs(cv2.GaussianBlur(skin - plain, (0, 0), _PATCH)).max(axis=-1)
    weight = weight * np.exp(-((foreign / _FOREIGN) ** 4))
    weight = weight[..., None]
    return eight_bits(plain + weight * (skin - plain))


def _seen(face: Any) -> Float[np.ndarray, "S S 3"]:
    """The photo's colour at each texel, RGB in [0, 1]."""
    x, y = np.moveaxis(atlas_of(face.model).baked(face.projected), -1, 0)
    pixels = cv2.remap(face.photo, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return unit_range(pixels)


def _unoccluded(face: Any) -> Bool[np.ndarray, "S S"]:
    """Whether no object, as the network predicts it, hides a texel in the photo."""
    x, y = np.moveaxis(atlas_of(face.model).baked(face.projected), -1, 0)
    return cv2.remap(face.mask, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) > 0.5


def _light(face: Any) -> np.ndarray:
    return np.asarray(shading(_in_camera(face)[1], face.code.illumination))


def _weight(face: Any, light: np.ndarray) -> Float[np.ndarray, "S S"]:
    """How much the photo counts at each texel, in [0, 1]."""
    model, atlas = face.model, atlas_of(face.model)
    positions, normals = _in_camera(face)
    towards = -positions / np.linalg.norm(positions, axis=1, keepdims=True)
    cosine = atlas.baked(np.einsum("nc,nc->n", normals, towards)[:, None])[..., 0]
    facing = np.clip((cosine - _GRAZING) / (_FRONTAL - _GRAZING), 0, 1)
    regions = {name: np.asarray(mask, np.float32) for name, mask in model.regions.items()}
    still = np.zeros(model.vertex_count, np.float32)
    shown = regions["face"] * (1 - regions.get("eyes", still)) * (1 - regions.get("mouth", still))
    height, width = face.photo.shape[:2]
    inside = ((face.projected >= 0) & (face.projected <= [width - 1, height - 1])).all(axis=1)
    used = atlas.baked((shown * inside)[:, None])[..., 0] > 0.99
    lit = light.min(axis=-1) > _DARKEST
    usable = (used & lit & _unhidden(face, positions) & _unoccluded(face)).astype(np.float32)
    # Zero from the edge of what is usable, one some texels within.
    inner = np.clip(2 * cv2.GaussianBlur(usable, (0, 0), _FEATHER) - 1, 0, 1)
    return (facing * inner).astype(np.float32)


def _unhidden(face: Any, positions: np.ndarray) -> Bool[np.ndarray, "S S"]:
    """Whether nothing of the head lies before a texel, by a depth picture of the crop."""
    size = _SCALE * CROP_SIZE
    pixels = (np.asarray(project(positions)) + 0.5) * _SCALE - 0.5
    raster = rasterize(pixels, positions[:, 2], face.triangles, height=size, width=size)
    nearest = interpolate(positions[:, 2:], face.triangles, raster)[..., 0]
    nearest[raster[0] < 0] = np.inf
    x, y, depth = np.moveaxis(atlas_of(face.model).baked(np.column_stack([pixels, positions[:, 2]])), -1, 0)
    column, row = (np.clip(np.round(at), 0, size - 1).astype(int) for at in (x, y))
    return depth < nearest[row, column] + _HIDDEN


def _in_camera(face: Any) -> tuple[np.ndarray, np.ndarray]:
    """Positions (mm) and normals of the vertices in camera space."""
    positions = np.asarray(to_camera(face.vertices, face.code.rotation, face.code.translation))
    return positions, np.asarray(vertex_normals(face.model.topology, positions))
