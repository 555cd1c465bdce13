"""Pictures of a reconstruction: on its photo, and its geometry, reflectance and shading by themselves."""

import operator
from collections.abc import Sequence
from typing import Any

import cv2
import jax
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.errors import InputError
from fml_jax.face_model.topology import vertex_normals
from fml_jax.image_formation.camera import CROP_SIZE, project, to_camera
from fml_jax.image_formation.drawing import Paint, clay, draw, shown_on_photos
from fml_jax.image_formation.illumination import shading
from fml_jax.image_formation.parts import form_parts, joined_rows, joined_triangles, parts_of
from fml_jax.image_formation.points import Points
from fml_jax.photos.crops import apply_affine, crop_photo

PAINTED = ("overlay", "changed", "geometry", "reflectance", "shading")  # pictures of the mesh
_WHITE_SKIN = 0.8
KINDS = ("photo", "landmarks", *PAINTED)
SIZES = (16, 4096)  # pixels, the smallest and the largest picture


def render(face: Any, kind: str = "overlay", size: int | None = None) -> UInt8[np.ndarray, "size size 3"]:
    """One picture of a reconstruction's crop.

    Args:
      face: a `Reconstruction`.
      kind: "photo" (the crop), "overlay" (the lit face on it but skull, ears, neck and mouth),
        "changed" (the same with the model's mouth, for faces whose light or expression was changed), "geometry" (grey
        clay), "reflectance", "shading" (the light on white skin, or on a darker one if white would be overexposed),
        "landmarks" (the 68 on the crop).
      size: pixels; None is the crop's own 240.

    Raises:
      InputError: an unknown kind, or a size that is no whole number within SIZES.
    """
    return render_all(face, (kind,), size)[kind]


def render_all(
    face: Any, kinds: Sequence[str] = KINDS, size: int | None = None
) -> dict[str, UInt8[np.ndarray, "size size 3"]]:
    """Several pictures by kind, as `render` makes them; the mesh is rasterised once for all.

    Raises:
      InputError: as `render`.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"kind {kind!r} is unknown; choose one of {', '.join(KINDS)}")
    size = CROP_SIZE if size is None else _checked_size(size)
    crop = crop_photo(face.photo, _scaled(face.crop_from_photo, size), size)
    pictures = {"photo": crop, "landmarks": _with_landmarks(crop, face, size)}
    if set(kinds) & set(PAINTED):
        pictures |= _painted_pictures(face, [kind for kind in kinds if kind in PAINTED], crop, size)
    return {kind: pictures[kind] for kind in kinds}


def _checked_size(size: Any) -> int:
    try:
        number = operator.index(size)
    except TypeError:
        number = 0
    if not SIZES[0] <= number <= SIZES[1]:
        raise InputError(f"size={size!r} is no size of a picture; give a whole number from {SIZES[0]} to {SIZES[1]}")
    return number


def _painted_pictures(face, kinds, crop, size):
    """The mesh over the crop or over a plain ground."""
    positions = np.asarray(to_camera(face.vertices, face.code.rotation, face.code.translation))
    normals = np.asarray(vertex_normals(face.model.topology, positions))
    paints = {kind: Paint(_colours(face, kind, normals)) for kind in kinds}
    for kind in {"overlay", "changed"} & set(paints):
        paints[kind] = paints[kind]._replace(ground=crop / np.float32(255), opacity=shown_on_photos(face.model))
    pixels, depth, triangles = np.asarray(project(positions)), positions[:, 2], face.triangles
    parts = parts_of(face.model)
    if parts is not None:
        points = jax.device_get(form_parts(parts, face.code))
        triangles = joined_triangles(len(pixels), triangles, parts)
        pixels, depth = joined_rows(pixels, points.pixels), np.concatenate([depth, points.positions[:, 2]])
        shade = np.asarray(parts.shade)[:, None]
        paints = {kind: _with_parts(paint, kind, points, shade) for kind, paint in paints.items()}
    return draw(pixels, depth, triangles, paints=paints, size=size)


def _with_parts(paint: Paint, kind: str, points: Points, shade: np.ndarray) -> Paint:
    """Paint of a face and its teeth, tongue and mouth's lining; on the photo these leave the photo's own visible."""
    normals, skin = np.asarray(points.normals), np.asarray(points.reflectance)
    colours = {"geometry": shade * clay(normals), "reflectance": skin}.get(kind, np.asarray(points.colours))
    if kind not in ("overlay", "changed"):
        return paint._replace(colours=joined_rows(paint.colours, colours))
    shown = np.full((len(colours), 1), kind == "changed", np.float32)
    return paint._replace(colours=joined_rows(paint.colours, colours), opacity=joined_rows(paint.opacity, shown))


def _colours(face, kind, normals):
    if kind == "geometry":
        return clay(normals)
    if kind == "reflectance":
        return face.reflectance
    light = np.asarray(shading(normals, face.code.illumination))
    return light * (_skin_not_overexposed(light[normals[:, 2] < 0]) if kind == "shading" else face.reflectance)


def _skin_not_overexposed(light):
    """White skin's reflectance, or the lightest one that is not overexposed under a light [V, 3]."""
    return min(_WHITE_SKIN, 1 / max(np.quantile(light, 0.98), 1e-6))


def _with_landmarks(crop, face, size):
    picture = crop.copy()
    for x, y in apply_affine(_scaled(face.crop_from_photo, size), face.landmarks68):
        cv2.circle(picture, (round(x), round(y)), max(2, size // 120), (40, 230, 90), -1, cv2.LINE_AA)
    return picture


def _scaled(crop_from_photo: Float[np.ndarray, "2 3"], size: int) -> Float[np.ndarray, "2 3"]:
    """The affine to the same crop with `size` pixels (pixel centres at whole numbers)."""
    factor = size / CROP_SIZE
    scaled = crop_from_photo * factor
    scaled[:, 2] += (factor - 1) / 2
    return scaled
