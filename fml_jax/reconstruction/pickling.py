"""Reconstructions as pickles: without their face model, which a file has, and with a part of the photo."""

from typing import Any

import cv2
import numpy as np

from fml_jax.errors import InputError
from fml_jax.face_model.files import load_face_model
from fml_jax.photos.crops import CROP_SIZE, apply_affine, invert_affine

# Side of the part that is kept, in crop sides; refinement detects landmarks in as much of the photo.
_KEPT = 1.7

# Parts of up to LOSSLESS² pixels are kept as they are; larger ones are shrunk to LARGEST and stored as JPEG.
LOSSLESS = 480
LARGEST = 960


def packed(fields: dict[str, Any]) -> dict[str, Any]:
    """A reconstruction's fields in a form that takes about a megabyte."""
    small = {**fields, "photo": _packed_photo(fields["photo"], fields["crop_from_photo"])}
    if not fields["reflectance_corrections"].any():
        small["reflectance_corrections"] = None
    file = fields["model"].file
    if fields["model"] is load_face_model(file or None):
        small["model"], small["triangles"] = (fields["model"].name, file), None
    return small


def unpacked(small: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `packed`; beyond the part of the photo that was kept, the photo is black.

    Raises:
      InputError: the face model's file is missing, or has changed since the face was made.
    """
    fields = {**small, "photo": _unpacked_photo(small["photo"])}
    if small["reflectance_corrections"] is None:
        fields["reflectance_corrections"] = np.zeros_like(small["reflectance"])
    if isinstance(small["model"], tuple):
        name, file = small["model"]
        model = load_face_model(file or None)
        if (model.name, model.vertex_count) != (name, len(small["vertices"])):
            raise InputError(
                f"this face was pickled with the face model {name}, but {file or 'the package'} has {model.name}; "
                "reconstruct it again"
            )
        fields["model"], fields["triangles"] = model, np.asarray(model.topology.triangles)
    return fields


def _packed_photo(photo: np.ndarray, crop_from_photo: np.ndarray) -> dict[str, Any]:
    height, width = photo.shape[:2]
    beyond = CROP_SIZE * (_KEPT - 1) / 2
    ends = [-beyond, CROP_SIZE + beyond]
    corners = apply_affine(invert_affine(crop_from_photo), np.array([(x, y) for x in ends for y in ends]))
    x0, y0 = np.clip(np.floor(corners.min(axis=0)), 0, [width - 1, height - 1]).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(corners.max(axis=0)), [x0 + 1, y0 + 1], [width, height]).astype(int).tolist()
    part, size = photo[y0:y1, x0:x1], (x1 - x0, y1 - y0)
    lossless = part.size <= 3 * LOSSLESS**2
    if not lossless:
        scale = min(1.0, LARGEST / max(size))
        part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(part, cv2.COLOR_RGB2BGR)
    content = cv2.imencode(".png" if lossless else ".jpg", bgr)[1].tobytes()
    return {"shape": photo.shape, "corner": (x0, y0), "size": size, "content": content}


def _unpacked_photo(kept: dict[str, Any]) -> np.ndarray:
    photo = np.zeros(kept["shape"], np.uint8)
    part = np.asarray(cv2.imdecode(np.frombuffer(kept["content"], np.uint8), cv2.IMREAD_COLOR))
    if part.shape[1::-1] != kept["size"]:
        part = cv2.resize(part, kept["size"], interpolation=cv2.INTER_LINEAR)
    (x, y), (width, height) = kept["corner"], kept["size"]
    photo[y : y + height, x : x + width] = cv2.cvtColor(part, cv2.COLOR_BGR2RGB)
    return photo
