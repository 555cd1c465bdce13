"""What a photo of a face is like: sharpness, light, pose, and a fingerprint that near-copies share."""

import functools
import math

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.data.crops import apply_affine, compose_affines, crop_from_landmarks, crop_photo
from fml_jax.data.landmarks import ibug68
from fml_jax.data.records import Stats

MEASURED_SIZE = 96  # side of the crop that sharpness and light are measured on: the face is 64 pixels

# MediaPipe points: outer corners of the right and left eye (the subject's), top of the forehead, chin.
_RIGHT_EYE, _LEFT_EYE, _FOREHEAD, _CHIN = 33, 263, 10, 152


def face_stats(rgb: UInt8[np.ndarray, "H W 3"], mesh: Float[np.ndarray, "478 3"]) -> Stats:
    """The face's statistics.

    Args:
      rgb: the photo.
      mesh: MediaPipe's points with depth, photo pixels.
    """
    points = ibug68(mesh[:, :2])
    to_crop = crop_from_landmarks(points, size=MEASURED_SIZE)
    grey = cv2.cvtColor(crop_photo(rgb, to_crop, MEASURED_SIZE), cv2.COLOR_RGB2GRAY)
    face = np.zeros(grey.shape, np.uint8)
    hull = cv2.convexHull(np.round(apply_affine(to_crop, points)).astype(np.int32))
    cv2.fillConvexPoly(face, hull, 1)
    face = face.view(bool)
    if not face.any():
        face[:] = True
    sharpness = cv2.Laplacian(grey, cv2.CV_32F)[face].std()
    size = math.sqrt(np.prod(np.ptp(points, axis=0)))
    return Stats(size, float(sharpness), float(grey[face].mean()), *head_angles(mesh))


def head_angles(mesh: Float[np.ndarray, "478 3"]) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees, about, with the signs of `image_formation.rotation.turn_angles`."""
    left = _unit(mesh[_LEFT_EYE] - mesh[_RIGHT_EYE])
    down = mesh[_CHIN] - mesh[_FOREHEAD]
    down = _unit(down - (down @ left) * left)
    inwards = np.cross(left, down)  # with x right, y down, z away, a face that looks at the camera has its back at +z
    out_of_face = -inwards
    yaw = math.atan2(out_of_face[0], -out_of_face[2])
    pitch = math.asin(np.clip(-out_of_face[1], -1, 1))
    unturned = math.cos(yaw) * left[0] + math.sin(yaw) * left[2]
    roll = math.atan2(left[1], math.cos(pitch) * unturned)
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


def fingerprint(window: UInt8[np.ndarray, "S S 3"], crop: Float[np.ndarray, "2 3"], size: int = 72) -> int:
    """64 bits that near-copies of one picture share but for a few: the signs of its coarsest cosine waves.

    Args:
      window: a picture.
      crop: the part to look at, window pixels to crop pixels of 240.
    """
    small = compose_affines(np.diag([size / 240, size / 240, 1.0])[:2], crop)
    grey = cv2.cvtColor(crop_photo(window, small, size), cv2.COLOR_RGB2GRAY)
    return int.from_bytes(_hasher().compute(grey).tobytes(), "big")


def hamming(a: int, b: int) -> int:
    """Bits in which two fingerprints differ."""
    return (a ^ b).bit_count()


@functools.cache
def _hasher():
    return cv2.img_hash.PHash.create()


def _unit(vector):
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
