"""Landmarks in photos: MediaPipe's 478 points, and iBUG's 68 among them."""

import contextlib
import ctypes
import functools
import os
import threading

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from fml_jax.errors import InputError
from fml_jax.photos.landmark_model import LANDMARK_MODEL, find_landmark_model

# The MediaPipe point for each iBUG point. Left and right are the subject's; iBUG's order starts at the subject's right,
# which is on the left in the photo.
IBUG_FROM_MEDIAPIPE = np.array(
    [127, 234, 93, 58, 172, 136, 149, 148, 152]  # contour, right ear to chin
    + [377, 378, 365, 397, 288, 323, 454, 356]  # chin to left ear
    + [70, 63, 105, 66, 107]  # right brow, outside to inside
    + [336, 296, 334, 293, 300]  # left brow, inside to outside
    + [168, 197, 5, 4]  # bridge of the nose, downwards
    + [75, 97, 2, 326, 305]  # below the nose, right to left
    + [33, 160, 158, 133, 153, 144]  # right eye, clockwise in the photo
    + [362, 385, 387, 263, 373, 380]  # left eye
    + [61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181]  # outer lips, clockwise
    + [78, 82, 13, 312, 308, 317, 14, 87],  # inner lips
    dtype=np.int32,
)

# iBUG point k of a mirrored photo is point IBUG_MIRROR[k] of the original.
IBUG_MIRROR = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65],
    dtype=np.int32,
)

# MediaPipe's points on the lids' edges between iBUG's points, of the right eye and of the left one, and the irises'
# centres. Point k of a mirrored photo is point EYE_MIRROR[k] of the original.
EYE_POINTS = np.array([161, 159, 157, 163, 145, 154, 388, 386, 384, 390, 374, 381, 468, 473], dtype=np.int32)
EYE_MIRROR = np.array([*range(6, 12), *range(6), 13, 12], dtype=np.int32)
# iBUG's points of the eye to which each of them belongs.
EYE_OF_POINT = np.array([range(36, 42)] * 6 + [range(42, 48)] * 6 + [range(36, 42), range(42, 48)], dtype=np.int32)

# Side of the part of the photo that is given to MediaPipe for a box, in box sides.
BOX_PADDING = 2.0

_LONGEST_SIDE = 32_000  # pixels; MediaPipe aborts the process from 32,767 on

_one_at_a_time = threading.Lock()


def detect_landmarks(
    rgb: UInt8[np.ndarray, "H W 3"], box: tuple[float, float, float, float] | None = None
) -> Float[np.ndarray, "478 2"] | None:
    """MediaPipe's face mesh points of one face.

    Args:
      rgb: a photo.
      box: x0, y0, x1, y1 around the face, in photo pixels; without it, the most prominent face of the photo is taken,
        which must not be small in the photo.

    Returns:
      Photo pixels, with (0, 0) at the centre of the top-left pixel; points may lie outside the photo. None if no face
      is found.
    """
    mesh = detect_mesh(rgb, box)
    return None if mesh is None else mesh[:, :2]


def detect_mesh(
    rgb: UInt8[np.ndarray, "H W 3"], box: tuple[float, float, float, float] | None = None
) -> Float[np.ndarray, "478 3"] | None:
    """As `detect_landmarks`, with the depth of each point: roughly photo pixels, larger is farther, 0 near the head's
    centre.
    """
    x0, y0, x1, y1 = _padded(box, rgb.shape) if box is not None else (0, 0, rgb.shape[1], rgb.shape[0])
    if x1 <= x0 or y1 <= y0:
        return None
    relative = _detect(np.ascontiguousarray(rgb[y0:y1, x0:x1]))
    if relative is None:
        return None
    scale, corner = (x1 - x0, y1 - y0, x1 - x0), (x0 - 0.5, y0 - 0.5, 0)
    return relative * np.array(scale, np.float32) + np.array(corner, np.float32)


def ibug68(landmarks478: Float[np.ndarray, "*batch 478 2"]) -> Float[np.ndarray, "*batch 68 2"]:
    """iBUG's 68 points among MediaPipe's."""
    return landmarks478[..., IBUG_FROM_MEDIAPIPE, :]


def mesh_triangles() -> Int[np.ndarray, "852 3"]:
    """The triangles of MediaPipe's mesh, over its first 468 points; their winding is not uniform."""
    sides = _mediapipe().tasks.vision.FaceLandmarksConnections.FACE_LANDMARKS_TESSELATION
    corners = np.array([(side.start, side.end) for side in sides], np.int64).reshape(-1, 3, 2)  # three sides each
    return corners[:, :, 0]


def _padded(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The part of the photo within BOX_PADDING box sides of the box's centre."""
    x0, y0, x1, y1 = box
    half = BOX_PADDING * max(x1 - x0, y1 - y0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return (
        max(0, round(x - half)),
        max(0, round(y - half)),
        min(shape[1], round(x + half) + 1),
        min(shape[0], round(y + half) + 1),
    )


def _detect(rgb: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "478 3"] | None:
    """Points as fractions of the picture's width and height, and depths as fractions of its width."""
    mediapipe = _mediapipe()
    if max(rgb.shape) > _LONGEST_SIDE:
        scale = _LONGEST_SIDE / max(rgb.shape)
        size = [max(1, round(scale * side)) for side in rgb.shape[1::-1]]
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    with _one_at_a_time:
        found = _landmarker().detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, rgb)).face_landmarks
    if not found:
        return None
    return np.array([(point.x, point.y, point.z) for point in found[0]], np.float32)


@functools.cache
def _landmarker():
    """MediaPipe's detector, one for each process. MediaPipe is imported when needed, because this takes seconds."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    tasks = _mediapipe().tasks
    path = find_landmark_model()
    options = tasks.vision.FaceLandmarkerOptions(
        base_options=tasks.BaseOptions(model_asset_buffer=path.read_bytes()), num_faces=1
    )
    try:
        with _silent_stderr():
            landmarker = tasks.vision.FaceLandmarker.create_from_options(options)
    except (OSError, RuntimeError, ValueError) as error:  # what MediaPipe raises for files that are not its model
        remedy = f"{LANDMARK_MODEL.title} is {LANDMARK_MODEL.address}"
        raise InputError(f"{path}: MediaPipe cannot read it ({error}); {remedy}") from error
    # It lives as long as the process. At the end MediaPipe's modules go first, and its removal would print an error.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(landmarker))
    return landmarker


def _mediapipe():
    try:
        import mediapipe
    except ImportError as error:
        raise InputError(f"landmarks need MediaPipe ({error}); run: pip install mediapipe") from error
    return mediapipe


@contextlib.contextmanager
def _silent_stderr():
    """Suppresses the native code's start-up messages, which ignore all log settings."""
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
