"""Augmentation of synthetic crops that keeps their codes exact.

A network that sees the same renders many times memorises them. A change of the camera (roll, pan, distance, gain of
the colour channels) changes the crop but not the face: it corresponds to an exact change of the code's pose and
illumination.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial.transform import Rotation

from fml_jax.codes import LIGHT, LIGHT_SHAPE, POSE_AND_LIGHT
from fml_jax.corpus.face_labels import cover_labels, moved_labels
from fml_jax.image_formation.camera import FOCAL_IN_CROP_WIDTHS
from fml_jax.image_formation.illumination import rolled_light
from fml_jax.photos.crops import CROP_SIZE, apply_affine, moved_affine

ROLL_STD = math.radians(8)
SHIFT_STD = 0.02  # crop sides
SCALE_STD = 0.04  # of the logarithm
GAIN_STD = 0.08  # of the logarithm, each channel; brightness on top of it varies as much
COVERED = 0.3  # share of crops in which a random rectangle is painted over

_SAME = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
# Pose and light are the last numbers of a flat code, whatever the face model's sizes.
_POSE = slice(-POSE_AND_LIGHT, -LIGHT)
_LIGHT = slice(-LIGHT, None)


class Render(NamedTuple):
    """A synthetic crop and what is known of it."""

    crop: UInt8[np.ndarray, "240 240 3"]
    code: Float[np.ndarray, "code"]  # flat
    landmarks: Float[np.ndarray, "68 2"]  # crop pixels
    labels: UInt8[np.ndarray, "120 120"]  # see `face_labels`


def random_camera_change(render: Render, rng: np.random.Generator) -> Render:
    """A render as a camera sees it after a small random change."""
    crop, code, landmarks, labels = render
    roll = ROLL_STD * rng.standard_normal()
    shift = SHIFT_STD * CROP_SIZE * rng.standard_normal(2)
    scale = math.exp(SCALE_STD * rng.standard_normal())
    gain = np.exp(GAIN_STD * (rng.standard_normal(3) + rng.standard_normal()))
    affine = moved_affine(_SAME, shift, scale, roll=roll)
    moved = cv2.warpAffine(
        crop, affine, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    # The gain is limited so that few pixels saturate: a saturated picture no longer corresponds to the code.
    gain = np.minimum(gain, 250 / np.maximum(np.percentile(moved[60:180:4, 60:180:4], 95, axis=(0, 1)), 1))
    moved = cv2.LUT(moved, np.clip(np.arange(256)[:, None] * gain, 0, 255).astype(np.uint8)[:, None])
    labels = moved_labels(labels, affine)
    if rng.random() < COVERED:
        _cover(moved, labels, rng)
    code = code.copy()
    code[_POSE] = _moved_pose(code[_POSE], shift, scale, roll)
    code[_LIGHT] = (rolled_light(code[_LIGHT].reshape(LIGHT_SHAPE), roll) * gain).ravel()
    return Render(moved, code, apply_affine(affine, landmarks).astype(np.float32), labels)


def _moved_pose(pose, shift, scale, roll):
    """Rotation and translation [6] after the camera has rolled, panned by a shift in pixels, and come nearer.

    A pan turns the camera and does not move it, so that near and far points shift alike. Coming nearer by a tenth
    differs from enlarging the picture by up to a pixel, at the chin and the jaw.
    """
    focal = FOCAL_IN_CROP_WIDTHS * CROP_SIZE
    pan = Rotation.from_rotvec([-math.atan(shift[1] / focal), math.atan(shift[0] / focal), 0])
    turn = pan * Rotation.from_rotvec([0, 0, roll])
    rotation = near_frontal((turn * Rotation.from_rotvec(pose[:3])).as_rotvec())
    # Enlarging happens about the crop's centre, before the pan.
    x, y, z = Rotation.from_rotvec([0, 0, roll]).apply(pose[3:])
    return np.concatenate([rotation, pan.apply([x, y, z / scale])])


def near_frontal(axis_angle: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Of a rotation's two axis-angle vectors, the one nearer to (π, 0, 0), so that codes do not jump at the angle π."""
    angle = np.linalg.norm(axis_angle)
    other = axis_angle * (1 - 2 * math.pi / angle) if angle > 0 else axis_angle
    return min(axis_angle, other, key=lambda candidate: np.linalg.norm(candidate - [math.pi, 0, 0]))


def _cover(crop, labels, rng):
    """Paints a rectangle of one colour over some part of the crop."""
    x, y = rng.integers(0, CROP_SIZE, 2)
    width, height = rng.integers(CROP_SIZE // 12, CROP_SIZE // 3, 2)
    rows = slice(max(0, y - height // 2), y + height // 2)
    columns = slice(max(0, x - width // 2), x + width // 2)
    crop[rows, columns] = rng.integers(0, 256, 3)
    cover_labels(labels, rows, columns)
