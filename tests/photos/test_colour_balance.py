"""Crops under strongly coloured or very weak light are balanced before a network sees them."""

import numpy as np
import pytest
from skimage import data

from fml_jax.photos.colour_balance import DARK, LARGEST_GAIN, balanced, balancing_gains
from fml_jax.photos.crops import crop_from_landmarks, crop_photo


@pytest.fixture(scope="module")
def crop(face):
    return crop_photo(data.astronaut(), crop_from_landmarks(face.landmarks68))


def test_ordinary_crops_stay_as_they_are(crop):
    gains = balancing_gains(crop[None])
    assert (gains == 1).all()
    assert (balanced(crop[None], gains)[0] == crop).all()


def test_a_blue_crop_gets_equal_channels_and_a_dark_one_is_brightened(crop):
    blue = (crop * np.array([0.15, 0.3, 1.0])).astype(np.uint8)[None]
    means = balanced(blue, balancing_gains(blue))[0, 60:180, 60:180].mean(axis=(0, 1))
    assert means.max() < 1.3 * means.min()
    dark = (crop * 0.1).astype(np.uint8)[None]
    assert balanced(dark, balancing_gains(dark))[0, 60:180, 60:180].mean() == pytest.approx(DARK, rel=0.1)


def test_gains_have_a_limit():
    assert balancing_gains(np.zeros((1, 240, 240, 3), np.uint8)).max() <= LARGEST_GAIN


def test_a_face_in_blue_light_has_its_geometry_and_a_blue_light(reconstructor, crop):
    blue = (crop * np.array([0.2, 0.35, 1.0])).astype(np.uint8)
    white, tinted = (reconstructor.predict(each[None]) for each in (crop, blue))
    moved = np.linalg.norm(tinted.faces.landmarks[0] - white.faces.landmarks[0], axis=1)
    assert moved.mean() < 4  # pixels
    red, _, blue_light = tinted.codes.illumination[0, 0] / white.codes.illumination[0, 0]
    assert red < 0.45 * blue_light
