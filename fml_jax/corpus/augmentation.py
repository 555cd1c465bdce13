"""Random training crops from the windows of a corpus: faces as a detector frames them, and negatives."""

import math
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from fml_jax.corpus.records import Example
from fml_jax.photos.crops import (
    CROP_SIZE,
    HAAR_SCALE_STD,
    HAAR_SHIFT_STD,
    apply_affine,
    crop_photo,
    jitter_affine,
    moved_affine,
)
from fml_jax.photos.landmarks import EYE_MIRROR, EYE_POINTS, IBUG_MIRROR

ROLL_STD = math.radians(8)
GAIN_STD = 0.05  # of each colour channel's gain and of the gamma; two of these are ±10 %
OFF_FACE = (0.75, 1.1)  # distance of two squares in their mean side; they overlap by less than 0.2
BESIDE_SCALES = (0.7, 2.5)  # size of a crop beside the face, in sizes of the face's own crop
WRONG_SCALES = ((0.25, 0.4), (2.2, 4.0))  # a face that is this small or this large in its crop is not usable
TEXTURE_CELLS = (1, 2, 4, 15, 60)  # cells a side of random textures; 1 is a flat colour


class Sample(NamedTuple):
    """One training crop."""

    crop: UInt8[np.ndarray, "240 240 3"]
    mask: UInt8[np.ndarray, "240 240"]  # 1 = a pixel of the photo itself
    landmarks: Float[np.ndarray, "68 2"]  # crop pixels
    confidence: Float[np.ndarray, "68"]  # 0 for landmarks outside the window, which are guesses
    eyes: Float[np.ndarray, "14 2"]  # `EYE_POINTS`, crop pixels
    reference: Float[np.ndarray, "68 2"] | None = None  # the collection's own landmarks, crop pixels


def random_face(example: Example, rng: np.random.Generator, jitter: float = 1.0, *, mirror: float = 0.5) -> Sample:
    """A crop of the face of a photo's example with random framing, colours and mirroring.

    Landmarks outside the window have confidence 0.

    Args:
      jitter: scales the measured scatter of crops, the roll and the change of colours; 0 for none.
      mirror: probability of a mirrored crop.
    """
    affine = jitter_affine(
        np.array(example.crop),
        rng,
        shift_std=(jitter * HAAR_SHIFT_STD[0], jitter * HAAR_SHIFT_STD[1]),
        scale_std=jitter * HAAR_SCALE_STD,
        roll_std=jitter * ROLL_STD,
    )
    points, reference = example.landmarks68, example.reference68
    inside = ((points >= -0.5) & (points <= len(example.window) - 0.5)).all(axis=1)
    sample = Sample(
        crop=cv2.LUT(crop_photo(example.window, affine), _random_colours(rng, jitter * GAIN_STD)),
        mask=crop_mask(example.valid, affine),
        landmarks=apply_affine(affine, points).astype(np.float32),
        confidence=np.where(inside, example.confidence, 0).astype(np.float32),
        eyes=apply_affine(affine, example.landmarks478[EYE_POINTS, :2]).astype(np.float32),
        reference=None if reference is None else apply_affine(affine, reference).astype(np.float32),
    )
    return mirrored(sample) if rng.random() < mirror else sample


def mirrored(sample: Sample) -> Sample:
    """The crop's mirror image; left and right landmarks are exchanged."""
    return Sample(
        crop=cv2.flip(sample.crop, 1),
        mask=cv2.flip(sample.mask, 1),
        landmarks=_mirrored_points(sample.landmarks, IBUG_MIRROR),
        confidence=sample.confidence[IBUG_MIRROR],
        eyes=_mirrored_points(sample.eyes, EYE_MIRROR),
        reference=None if sample.reference is None else _mirrored_points(sample.reference, IBUG_MIRROR),
    )


def _mirrored_points(points: Float[np.ndarray, "K 2"], mirror: Int[np.ndarray, "K"]) -> Float[np.ndarray, "K 2"]:
    return (points * np.array([-1, 1], np.float32) + np.array([CROP_SIZE - 1, 0], np.float32))[mirror]


def random_negative(example: Example, rng: np.random.Generator) -> Sample:
    """A crop without a usable face: beside the face, with a far too small or too large face, or a random texture."""
    kind, crop = rng.choice(3, p=[0.6, 0.25, 0.15]), np.array(example.crop)
    if kind == 2:
        picture, mask = _random_texture(rng), np.ones((CROP_SIZE, CROP_SIZE), np.uint8)
    else:
        affine = (
            _beside(crop, rng)
            if kind == 0
            else moved_affine(crop, np.zeros(2), rng.uniform(*rng.choice(WRONG_SCALES)), roll=0.0)
        )
        picture, mask = crop_photo(example.window, affine), crop_mask(example.valid, affine)
    return Sample(picture, mask, **_NO_FACE)


_NO_FACE = {
    "landmarks": np.zeros((68, 2), np.float32),
    "confidence": np.zeros(68, np.float32),
    "eyes": np.zeros((len(EYE_POINTS), 2), np.float32),
}


def crop_mask(valid: Bool[np.ndarray, "S S"], affine: Float[np.ndarray, "2 3"]) -> UInt8[np.ndarray, "240 240"]:
    """The mask of a crop: 1 where the pixel comes from the photo itself, 0 beyond the window."""
    size = (CROP_SIZE, CROP_SIZE)
    return cv2.warpAffine(valid.view(np.uint8), affine, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)


def _beside(crop: Float[np.ndarray, "2 3"], rng: np.random.Generator) -> Float[np.ndarray, "2 3"]:
    angle, scale = rng.uniform(0, 2 * math.pi), math.exp(rng.uniform(*np.log(BESIDE_SCALES)))
    distance = CROP_SIZE * (1 + scale) / 2 * rng.uniform(*OFF_FACE)
    return moved_affine(crop, distance * np.array([math.cos(angle), math.sin(angle)]), scale, roll=0.0)


def _random_texture(rng: np.random.Generator) -> UInt8[np.ndarray, "240 240 3"]:
    cells = rng.choice(TEXTURE_CELLS)
    coarse = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    return cv2.resize(coarse, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_CUBIC)


def _random_colours(rng: np.random.Generator, std: float) -> UInt8[np.ndarray, "256 1 3"]:
    """A look-up table that applies a random gain to each channel and one random gamma."""
    gain, gamma = np.exp(std * rng.standard_normal(3)), math.exp(std * rng.standard_normal())
    curve = np.linspace(0, 1, 256) ** gamma
    return np.clip(np.rint(255 * curve[:, None, None] * gain), 0, 255).astype(np.uint8)
