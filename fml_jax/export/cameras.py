"""The camera of a face's photo, for other renderers."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from fml_jax.image_formation.camera import CROP_SIZE, FOCAL_IN_CROP_WIDTHS
from fml_jax.image_formation.rotation import rotation_matrix
from fml_jax.photos.crops import invert_affine

FORMAT_VERSION = 1
_GL_FROM_CV = np.diag([1.0, -1.0, -1.0])  # cameras look along −z with y up, not along z with y down
_METRES = 1e-3

_ABOUT = {
    "pixels": "(0, 0) is the centre of the top-left pixel: u = fx x / z + cx, v = fy y / z + cy",
    "world_to_camera": "3x4, millimetres; from the mesh of npz, obj and ply files to x right, y down, z forward "
    "(OpenCV's camera axes)",
    "camera_to_world": "4x4, metres; the camera in the scene of the glb file: x right, y up, looking along -z "
    "(OpenGL, glTF, Blender's camera axes)",
    "focal length": "assumed: one photo does not determine it, nor absolute size and distance",
}


def photo_camera(face: Any) -> dict[str, Any]:
    """The pinhole camera that maps a `Reconstruction`'s vertices to the pixels of its photo, as JSON values.

    The crop's camera (section 5) lies in the photo through a turn and a scale, since crops are upright squares: the
    turn becomes part of the rotation, the scale part of the focal length.
    """
    photo_from_crop = invert_affine(face.crop_from_photo)
    linear, offset = photo_from_crop[:, :2], photo_from_crop[:, 2]
    scale = math.sqrt(abs(np.linalg.det(linear)))
    turn = np.eye(3)
    turn[:2, :2] = linear / scale
    rotation = turn @ np.asarray(rotation_matrix(face.rotation), np.float64)
    translation = turn @ np.asarray(face.translation, np.float64)
    focal = scale * FOCAL_IN_CROP_WIDTHS * CROP_SIZE
    centre = linear @ np.full(2, (CROP_SIZE - 1) / 2) + offset
    height, width = face.photo.shape[:2]
    placed = np.eye(4)
    placed[:3, :3] = rotation.T @ _GL_FROM_CV
    placed[:3, 3] = -rotation.T @ translation * _METRES
    return {
        "format_version": FORMAT_VERSION,
        "photo": face.source,
        "face": face.index,
        "width": width,
        "height": height,
        "fx": focal,
        "fy": focal,
        "cx": float(centre[0]),
        "cy": float(centre[1]),
        "world_to_camera": np.column_stack([rotation, translation]).tolist(),
        "camera_to_world": placed.tolist(),
        "about": _ABOUT,
    }


def write_camera(path: Path, face: Any) -> None:
    """Writes `photo_camera` as JSON.

    Raises:
      OSError: the file cannot be written.
    """
    path.write_text(json.dumps(photo_camera(face), indent=1), encoding="utf-8")
