"""What the viewer shows of one reconstruction, as a JSON value of numbers and one photo."""

import io
from typing import Any

import cv2
import numpy as np
import PIL.Image
import PIL.WebPImagePlugin  # noqa: F401 (without it Pillow would import the plugins of all formats)
from jaxtyping import Float, UInt8

from fml_jax.export.viewer.model_data import FINEST, displacements, model_key
from fml_jax.export.viewer.packing import Packer, in_base64
from fml_jax.fitting.named_shapes import named_shapes
from fml_jax.image_formation.camera import CROP_SIZE, FOCAL_IN_CROP_WIDTHS
from fml_jax.image_formation.parts import parts_of, parts_vertices
from fml_jax.image_formation.rotation import rotation_matrices
from fml_jax.photos.crops import crop_photo
from fml_jax.reconstruction.levels import base_surface

FRAME = 1.6  # sides of the crop that the photo in the viewer has
PHOTO_SIZES = (240, 768)  # pixels, the smallest and the largest
_QUALITY = 85  # of the photo
_EFFORT = 2  # of 6: OpenCV's, 4, takes more than twice the time for 4 % less
_LEAST_CHANGE = 1e-3  # mm; and as a share of white


def face_data(face: Any) -> dict[str, Any]:
    """A `Reconstruction` for the viewer.

    Fields that a reconstruction may have, and that the viewer then shows: `uncertainty` [N], standard deviation of
    each vertex in mm; `mask` [S, S], how much of each pixel of the crop shows the face, in [0, 1].
    """
    packer = Packer()
    packer.add_lengths("positions", np.concatenate([face.vertices, _part_positions(face)]), FINEST)
    packer.add_shares("colours", np.asarray(face.reflectance))
    weights = _add_expression(packer, face)
    levels = _add_base_level(packer, face)
    uncertainty = getattr(face, "uncertainty", None)
    if uncertainty is not None:
        packer.add_lengths("uncertainty", np.asarray(uncertainty, np.float64).reshape(-1, 1), FINEST)
    mask = getattr(face, "unoccluded", None)
    return {
        "model": model_key(face.model),
        "score": round(float(face.score), 3),
        "angles": [round(angle, 1) for angle in face.angles],
        "rotation": _numbers(rotation_matrices(face.code.rotation)),
        "translation": _numbers(face.translation),
        "light": _numbers(face.illumination),
        "focal": FOCAL_IN_CROP_WIDTHS,
        "frame": FRAME,
        "photo": "data:image/webp;base64," + in_base64(_webp(framed_photo(face))),
        "mask": None if mask is None else "data:image/webp;base64," + in_base64(_webp(_as_picture(mask))),
        "weights": weights,
        "levels": levels,
        **packer.packed(),
    }


def framed_photo(face: Any) -> UInt8[np.ndarray, "size size 4"]:
    """The photo about the crop, RGBA; transparent beyond the photo's edges."""
    native = CROP_SIZE * FRAME / np.sqrt(abs(np.linalg.det(face.crop_from_photo[:, :2])))
    size = int(np.clip(round(native), *PHOTO_SIZES))
    scale = size / (CROP_SIZE * FRAME)
    affine = face.crop_from_photo * scale
    affine[:, 2] += (size - 1) / 2 - scale * (CROP_SIZE - 1) / 2
    inside = np.full(face.photo.shape[:2], 255, np.uint8)
    alpha = cv2.warpAffine(inside, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.dstack([crop_photo(face.photo, affine, size), alpha])


def _part_positions(face: Any) -> Float[np.ndarray, "V 3"]:
    """The drawn parts' vertices in model space; none if the model has no parts."""
    parts = parts_of(face.model)
    return np.zeros((0, 3), np.float32) if parts is None else parts_vertices(parts, face.code)


def _add_expression(packer: Packer, face: Any) -> list[float]:
    """The named shapes' weights of the face's expression; adds `rest`, the displacements that no shape explains."""
    shapes = named_shapes(face.model)
    if shapes is None:
        return []
    weights = np.round(shapes.weights(face.code.expression), 3)
    rest = np.asarray(face.code.expression) - weights @ shapes.codes
    packer.add_lengths("rest", displacements(face.model, rest[None])[0], FINEST)
    return weights.tolist()


def _add_base_level(packer: Packer, face: Any) -> list[str]:
    """Adds what the base level has otherwise than the final one; the names of the levels that differ."""
    vertices, reflectance = base_surface(face)
    moved, painted = vertices - face.vertices, face.reflectance - reflectance
    if max(np.abs(moved).max(), np.abs(painted).max()) < _LEAST_CHANGE:
        return []
    packer.add_lengths("base_moved", moved, FINEST)
    packer.add_shares("base_colours", reflectance)
    return ["base", "final"]


def _as_picture(mask: Any) -> UInt8[np.ndarray, "size size 4"]:
    """A crop's mask in the frame of the photo: white, as opaque as the mask."""
    shares = np.asarray(mask, np.float32)
    border = round(len(shares) * (FRAME - 1) / 2)
    alpha = np.pad(np.round(255 * np.clip(shares, 0, 1)).astype(np.uint8), border)
    return np.dstack([np.full((*alpha.shape, 3), 255, np.uint8), alpha])


def _webp(rgba: UInt8[np.ndarray, "H W 4"]) -> bytes:
    opaque, file = bool((rgba[..., 3] == 255).all()), io.BytesIO()
    picture = PIL.Image.fromarray(np.ascontiguousarray(rgba[..., :3]) if opaque else rgba)
    picture.save(file, "WEBP", quality=_QUALITY, method=_EFFORT)
    return file.getvalue()


def _numbers(array: Any) -> list:
    return np.round(np.asarray(array, np.float64), 6).tolist()
