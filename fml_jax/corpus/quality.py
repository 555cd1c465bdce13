"""Statistics of a photo of a face: sharpness, brightness, pose, and a fingerprint that near-copies share."""

import math

import cv2
import numpy as np
from jaxtyping import Float, UInt8, UInt64

from fml_jax.corpus.records import Stats
from fml_jax.photos.crops import apply_affine, crop_from_landmarks, crop_photo
from fml_jax.photos.landmarks import ibug68

MEASURED_SIZE = 96  # side of the crop that sharpness and light are measured on: the face is 64 pixels
_FINGERPRINT_SIZE, _WAVES = 48, 12  # pixels; waves in each direction
_ROWS_AT_ONCE = 256

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
    """Approximate yaw, pitch and roll in degrees, with the signs of `image_formation.rotation.turn_angles`."""
    left = _unit(mesh[_LEFT_EYE] - mesh[_RIGHT_EYE])
    down = mesh[_CHIN] - mesh[_FOREHEAD]
    down = _unit(down - (down @ left) * left)
    inwards = np.cross(left, down)  # x right, y down, z away from the camera: the back of a frontal head is at +z
    out_of_face = -inwards
    yaw = math.atan2(out_of_face[0], -out_of_face[2])
    pitch = math.asin(np.clip(-out_of_face[1], -1, 1))
    unturned = math.cos(yaw) * left[0] + math.sin(yaw) * left[2]
    roll = math.atan2(left[1], math.cos(pitch) * unturned)
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


def fingerprint(window: UInt8[np.ndarray, "S S 3"], landmarks68: Float[np.ndarray, "68 2"]) -> UInt64[np.ndarray, "2"]:
    """128 bits that differ little between near-copies of one picture: whether each of the face's coarsest cosine
    coefficients is above their median.

    Args:
      window: a picture.
      landmarks68: pixels of the picture. They define the part that is used, so that two framings of one photo agree.
    """
    to_crop = crop_from_landmarks(landmarks68, size=_FINGERPRINT_SIZE)
    grey = cv2.cvtColor(crop_photo(window, to_crop, _FINGERPRINT_SIZE), cv2.COLOR_RGB2GRAY)
    waves = cv2.dct(grey.astype(np.float32))[:_WAVES, :_WAVES].ravel()[1:129]
    return np.packbits(waves > np.median(waves)).view(">u8").astype(np.uint64)


def near_copies(prints: UInt64[np.ndarray, "n 2"], bits: int) -> dict[int, int]:
    """Finds rows that are near-copies of an earlier row.

    All pairs are compared: 200,000 photos make 2·10¹⁰ pairs, which take about a minute.

    Args:
      prints: fingerprints.
      bits: in how many of 128 bits two fingerprints of near-copies may differ.

    Returns:
      For each near-copy, the earlier row, which is no near-copy itself.
    """
    copies: dict[int, int] = {}
    for begin in range(0, len(prints), _ROWS_AT_ONCE):
        rows = prints[begin : begin + _ROWS_AT_ONCE]
        earlier = prints[: begin + len(rows)]
        distance = sum(np.bitwise_count(rows[:, None, k] ^ earlier[None, :, k]) for k in range(2))
        for row, other in np.argwhere(distance <= bits):
            row, other = begin + int(row), int(other)
            if other < row and row not in copies and other not in copies:
                copies[row] = other
    return copies


def _unit(vector):
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
