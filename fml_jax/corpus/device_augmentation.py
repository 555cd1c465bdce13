"""Random training crops made on the device, from a corpus that is kept in its memory: `jax.vmap` of one row at a time.

The changes are those of `augmentation` and `camera_augmentation`, with further ones of the picture: darkness, blur and
noise. A function of a key, so that a resumed run sees the same rows.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Key, UInt8

from fml_jax.codes import LIGHT, LIGHT_SHAPE, POSE_AND_LIGHT
from fml_jax.corpus import camera_augmentation
from fml_jax.corpus.augmentation import BESIDE_SCALES, GAIN_STD, OFF_FACE, ROLL_STD, WRONG_SCALES
from fml_jax.corpus.face_labels import LABEL_SIZE, UNKNOWN
from fml_jax.image_formation.camera import FOCAL_IN_CROP_WIDTHS
from fml_jax.image_formation.illumination import rolled_light
from fml_jax.image_formation.rotation import rotation_matrix
from fml_jax.ops.arrays import Array
from fml_jax.photos.crops import CROP_SIZE, HAAR_SCALE_STD, HAAR_SHIFT_STD, apply_affine, compose_affines
from fml_jax.photos.landmarks import EYE_MIRROR, IBUG_MIRROR

DARKER = 0.3  # share of crops that are darkened, to no less than `DARKEST`
DARKEST = 0.3
BLURRED = 0.25  # share of crops that are blurred, by a Gaussian of 0.8 to 2.4 crop pixels
NOISY = 0.25  # share of crops with noise; its standard deviation is uniform up to `NOISE`
NOISE = 0.03

CHANGED = 0.7  # share of crops that `harmless_change` mirrors; as many, drawn independently, are blurred
STRONGEST_BLUR = 3.6  # crop pixels, a standard deviation; the weakest is a fifth of it

_MIDDLE = (CROP_SIZE - 1) / 2
_POSE = slice(-POSE_AND_LIGHT, -LIGHT)
_LIGHT = slice(-LIGHT, None)


class Moved(NamedTuple):
    """How the content of a crop moves: turned and scaled about its middle, then shifted."""

    shift: jax.Array  # [2] crop pixels
    scale: jax.Array  # larger is larger
    roll: jax.Array  # radians, clockwise

    def affine(self) -> Float[Array, "2 3"]:
        """Old to new pixels of the crop."""
        cos, sin = jnp.cos(self.roll), jnp.sin(self.roll)
        linear = self.scale * jnp.array([[cos, -sin], [sin, cos]])
        middle = jnp.full(2, _MIDDLE)
        return jnp.concatenate([linear, (middle - linear @ middle + self.shift)[:, None]], axis=1)


def photo_row(key: Key[Array, ""], row: dict, *, negatives: float, flip: Array) -> dict:
    """A random crop of a photo, with random framing and colours.

    Args:
      row: of a `PackedCorpus`, one example.
      negatives: probability of a crop that shows no usable face.
      flip: whether the crop is mirrored.
    """
    of_kind, of_face, of_other, of_colours, of_exposure, of_defects = jax.random.split(key, 6)
    is_face = jax.random.uniform(of_kind) >= negatives
    moved = jax.tree.map(lambda face, other: jnp.where(is_face, face, other), face_move(of_face), _off_face(of_other))
    plain = _photo_columns(row, compose_affines(moved.affine(), row["crop"]))
    crop = darkness(of_exposure) * _recoloured(of_colours, plain["crop"])
    crop = with_defects(of_defects, crop)
    plain |= {"crop": crop, "confidence": is_face * plain["confidence"]}
    pictures = {name: jnp.where(flip, plain[name][:, ::-1], plain[name]) for name in ("crop", "mask")}
    return {**with_mirrored_points(plain, flip), **pictures, "is_face": is_face.astype(jnp.float32), **_unknown()}


def with_mirrored_points(row: dict, mirrored: Bool[Array, ""]) -> dict:
    """The row with the points of its crop's mirror image, where `mirrored` is true.

    Args:
      row: has "landmarks", "confidence" and "eyes"; its other columns, the crop too, stay as they are.
    """
    flipped = {
        "landmarks": _mirrored_points(row["landmarks"])[IBUG_MIRROR],
        "confidence": row["confidence"][IBUG_MIRROR],
        "eyes": _mirrored_points(row["eyes"])[EYE_MIRROR],
    }
    return row | {name: jnp.where(mirrored, values, row[name]) for name, values in flipped.items()}


def plain_photo_row(row: dict) -> dict:
    """The crop of a photo as the detector frames it; arguments as of `photo_row`."""
    return {**_photo_columns(row, row["crop"]), "is_face": jnp.float32(1), "code": row["code"], **_unknown()}


def _photo_columns(row: dict, affine: Float[Array, "2 3"]) -> dict:
    """What depends on how a photo's window is cut."""
    return {
        "crop": warped(row["windows"], affine, CROP_SIZE),
        "mask": warped(row["valid"][..., None], affine, CROP_SIZE, beyond=0.0)[..., 0] > 0.5,
        "landmarks": apply_affine(affine, row["landmarks"]),
        "confidence": row["confidence"],
        "eyes": apply_affine(affine, row["eyes"]),
    }


def _unknown() -> dict:
    """Columns that photos have no values for."""
    return {"labels": jnp.full((LABEL_SIZE, LABEL_SIZE), UNKNOWN, jnp.uint8), "has_code": jnp.float32(0)}


def render_row(key: Key[Array, ""], row: dict) -> dict:
    """A render as a camera sees it after a small random change; its code stays exact (`camera_augmentation`).

    Args:
      row: of a `PackedCorpus`, one example.
    """
    of_move, of_gain, of_exposure, of_defects = jax.random.split(key, 4)
    moved = camera_move(of_move)
    affine = moved.affine()
    crop = warped(row["windows"], affine, CROP_SIZE)
    gain = darkness(of_exposure) * _limited_gain(of_gain, crop)
    crop = with_defects(of_defects, jnp.clip(crop * gain, 0, 1))
    half = moved._replace(shift=moved.shift * LABEL_SIZE / CROP_SIZE)
    code = jnp.asarray(row["code"])
    code = code.at[_POSE].set(moved_pose(code[_POSE], moved))
    gamma = rolled_light(code[_LIGHT].reshape(LIGHT_SHAPE), moved.roll) * gain
    return {
        "crop": crop,
        "mask": jnp.ones((CROP_SIZE, CROP_SIZE), bool),
        "landmarks": apply_affine(affine, row["landmarks"]),
        "confidence": row["confidence"],
        "eyes": jnp.zeros_like(row["eyes"]),
        "is_face": jnp.float32(1),
        "labels": _moved_labels(row["labels"], half),
        "has_code": jnp.float32(1),
        "code": code.at[_LIGHT].set(gamma.ravel()),
    }


def face_move(key: Key[Array, ""]) -> Moved:
    """The scatter of detectors' boxes about faces, and of heads about their roll."""
    shift, scale, roll = jnp.split(jax.random.normal(key, (4,)), [2, 3])
    return Moved(CROP_SIZE * jnp.array(HAAR_SHIFT_STD) * shift, jnp.exp(HAAR_SCALE_STD * scale[0]), ROLL_STD * roll[0])


def camera_move(key: Key[Array, ""]) -> Moved:
    """A small change of a camera."""
    shift, scale, roll = jnp.split(jax.random.normal(key, (4,)), [2, 3])
    spread = camera_augmentation.SHIFT_STD * CROP_SIZE, camera_augmentation.SCALE_STD, camera_augmentation.ROLL_STD
    return Moved(spread[0] * shift, jnp.exp(spread[1] * scale[0]), spread[2] * roll[0])


def _off_face(key: Key[Array, ""]) -> Moved:
    """A crop beside the face, or one that shows it far too small or too large."""
    kinds, angles, sizes, distances, wrongs = jax.random.split(key, 5)
    angle = jax.random.uniform(angles, maxval=2 * math.pi)
    low, high = (math.log(each) for each in BESIDE_SCALES)
    scale = jnp.exp(jax.random.uniform(sizes, minval=low, maxval=high))
    off = jax.random.uniform(distances, minval=OFF_FACE[0], maxval=OFF_FACE[1])
    distance = CROP_SIZE * (1 + scale) / 2 * off
    beside = Moved(distance * jnp.array([jnp.cos(angle), jnp.sin(angle)]), scale, jnp.float32(0))
    which, within = jax.random.uniform(wrongs, (2,))
    (small_from, small_to), (large_from, large_to) = WRONG_SCALES
    small, large = small_from + within * (small_to - small_from), large_from + within * (large_to - large_from)
    wrong = Moved(jnp.zeros(2), jnp.where(which < 0.5, small, large), jnp.float32(0))
    is_beside = jax.random.uniform(kinds) < 0.7
    return jax.tree.map(lambda one, other: jnp.where(is_beside, one, other), beside, wrong)


def warped(
    picture: UInt8[Array, "S S C"] | Array, affine: Float[Array, "2 3"], size: int, *, beyond: float | None = None
) -> Float[Array, "size size C"]:
    """A picture under an affine, interpolated; 8-bit pixels become floats in [0, 1].

    Args:
      affine: its pixels to those of the result.
      beyond: the value beyond the picture; None continues its border.
    """
    inverse = jnp.linalg.inv(affine[:, :2])
    axis = jnp.arange(size, dtype=jnp.float32)
    pixels = jnp.stack(jnp.meshgrid(axis, axis), axis=-1)
    x, y = jnp.moveaxis((pixels - affine[:, 2]) @ inverse.T, -1, 0)
    last = len(picture) - 1
    inside = (x >= 0) & (x <= last) & (y >= 0) & (y <= last)
    x, y = jnp.clip(x, 0, last), jnp.clip(y, 0, last)
    left, top = (jnp.minimum(jnp.floor(each).astype(jnp.int32), last - 1) for each in (x, y))
    u, v = (x - left)[..., None], (y - top)[..., None]

    def taken(down, right):
        return picture[top + down, left + right].astype(jnp.float32)

    upper = (1 - u) * taken(0, 0) + u * taken(0, 1)
    lower = (1 - u) * taken(1, 0) + u * taken(1, 1)
    result = (1 - v) * upper + v * lower
    result = result / 255 if picture.dtype == jnp.uint8 else result
    return result if beyond is None else jnp.where(inside[..., None], result, beyond)


def with_defects(key: Key[Array, ""], crop: Float[Array, "S S 3"]) -> Float[Array, "S S 3"]:
    """Some crops blurred, some with noise."""
    of_blur, of_noise, of_pixels = jax.random.split(key, 3)
    whether, by = jax.random.uniform(of_blur, (2,))
    width = jnp.where(whether < BLURRED, 0.8 + 1.6 * by, 1e-3)
    crop = _blurred(crop, _gaussian(width, reach=5))
    whether, by = jax.random.uniform(of_noise, (2,))
    amount = jnp.where(whether < NOISY, NOISE * by, 0.0)
    return jnp.clip(crop + amount * _white_noise(of_pixels, crop.shape), 0, 1)


def harmless_change(key: Key[Array, ""], crop: Float[Array, "S S 3"]) -> tuple[Float[Array, "S S 3"], Bool[Array, ""]]:
    """The crop, mirrored or blurred or both in most cases, and whether it is mirrored: its face stays the same."""
    of_flip, of_blur = jax.random.split(key)
    mirrored = jax.random.uniform(of_flip) < CHANGED
    whether, by = jax.random.uniform(of_blur, (2,))
    width = jnp.where(whether < CHANGED, STRONGEST_BLUR * (0.2 + 0.8 * by), 1e-3)
    blurred = _blurred(crop, _gaussian(width, reach=math.ceil(2.5 * STRONGEST_BLUR)))
    return jnp.where(mirrored, blurred[:, ::-1], blurred), mirrored


def darkness(key: Key[Array, ""]) -> Float[Array, ""]:
    """A factor of the exposure, 1 for most crops."""
    whether, by = jax.random.uniform(key, (2,))
    return jnp.where(whether < DARKER, DARKEST + (1 - DARKEST) * by, 1.0)


def _white_noise(key, shape):
    """Independent numbers of mean 0 and standard deviation 1, as many as `shape` has, each the sum of two random bytes.

    On CPUs normally distributed ones take three times as long, more than all the rest of an augmentation.
    """
    words = jax.lax.optimization_barrier(jax.random.bits(key, (math.prod(shape) // 2,)))
    first, second, third, fourth = ((words >> shift) & 255 for shift in (0, 8, 16, 24))
    sums = jnp.concatenate([first + second, third + fourth]).astype(jnp.float32)
    return ((sums - 255) / math.sqrt((256**2 - 1) / 6)).reshape(shape)


def _gaussian(width, *, reach):
    """A kernel of 2 reach + 1 weights."""
    places = jnp.arange(-reach, reach + 1)
    kernel = jnp.exp(-(places**2) / (2 * width**2))
    return kernel / kernel.sum()


def _blurred(crop, kernel):
    """The crop convolved with a kernel along both axes; its border is continued."""
    reach, size = len(kernel) // 2, len(crop)
    padded = jnp.pad(crop, ((reach, reach), (0, 0), (0, 0)), mode="edge")
    rows = sum(kernel[k] * padded[k : k + size] for k in range(len(kernel)))
    # Without the barrier the compiler computes each row anew for each of the columns' weights.
    padded = jax.lax.optimization_barrier(jnp.pad(rows, ((0, 0), (reach, reach), (0, 0)), mode="edge"))
    return sum(kernel[k] * padded[:, k : k + size] for k in range(len(kernel)))


def _recoloured(key, crop):
    """A random gain of each channel and one random gamma."""
    draws = GAIN_STD * jax.random.normal(key, (4,))
    return jnp.clip(jnp.maximum(crop, 1e-4) ** jnp.exp(draws[0]) * jnp.exp(draws[1:]), 0, 1)


def _limited_gain(key, crop):
    """A gain of each channel under which few pixels saturate: a saturated picture does not correspond to the code."""
    each, all_of_them = jax.random.split(key)
    draws = jax.random.normal(each, (3,)) + jax.random.normal(all_of_them)
    bright = jnp.percentile(crop[60:180:4, 60:180:4].reshape(-1, 3), 95, axis=0)
    return jnp.minimum(jnp.exp(camera_augmentation.GAIN_STD * draws), 250 / 255 / jnp.maximum(bright, 1 / 255))


def _mirrored_points(points):
    return points * jnp.array([-1.0, 1.0]) + jnp.array([CROP_SIZE - 1.0, 0.0])


def _moved_labels(labels, moved):
    """A label map as `moved` moves its places; the border is continued."""
    middle = jnp.full(2, (LABEL_SIZE - 1) / 2)
    cos, sin = jnp.cos(moved.roll), jnp.sin(moved.roll)
    inverse = jnp.array([[cos, sin], [-sin, cos]]) / moved.scale
    axis = jnp.arange(LABEL_SIZE, dtype=jnp.float32)
    places = jnp.stack(jnp.meshgrid(axis, axis), axis=-1)
    x, y = jnp.moveaxis((places - middle - moved.shift) @ inverse.T + middle, -1, 0)
    column, row = (jnp.clip(jnp.round(each).astype(jnp.int32), 0, LABEL_SIZE - 1) for each in (x, y))
    return labels[row, column]


def moved_pose(pose: Float[Array, "6"], moved: Moved) -> Float[Array, "6"]:
    """Rotation and translation after the camera has rolled, panned and come nearer (`camera_augmentation`)."""
    focal = FOCAL_IN_CROP_WIDTHS * CROP_SIZE
    # `Rotation.from_rotvec` of the plain twin is the same map as `rotation_matrix`.
    pan = rotation_matrix(jnp.array([-jnp.arctan(moved.shift[1] / focal), jnp.arctan(moved.shift[0] / focal), 0.0]))
    roll = rotation_matrix(jnp.array([0.0, 0.0, 1.0]) * moved.roll)
    x, y, z = roll @ pose[3:]
    turned = near_frontal(pan @ roll @ rotation_matrix(pose[:3]))
    return jnp.concatenate([turned, pan @ jnp.array([x, y, z / moved.scale])])


def near_frontal(rotation: Float[Array, "3 3"]) -> Float[Array, "3"]:
    """Of a rotation's two axis-angle vectors, the one nearer to (π, 0, 0).

    It is exact for rotations by more than a right angle from the identity, as those of all faces in front of a camera.
    """
    # As a quaternion; its first imaginary part is the largest for faces that look at the camera.
    x = jnp.sqrt(jnp.maximum(1 + rotation[0, 0] - rotation[1, 1] - rotation[2, 2], 1e-6)) / 2
    y = (rotation[0, 1] + rotation[1, 0]) / (4 * x)
    z = (rotation[0, 2] + rotation[2, 0]) / (4 * x)
    w = (rotation[2, 1] - rotation[1, 2]) / (4 * x)
    axis = jnp.array([x, y, z])
    length = jnp.sqrt(jnp.sum(axis**2))
    # The angle lies between 0 and 2π, and the axis points to the same side as (1, 0, 0).
    return axis / length * 2 * jnp.arctan2(length, w)
