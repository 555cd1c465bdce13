"""Smoothing takes noise away and leaves motion, where it is and when it is."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fml_jax.video.smoothing import smoothed, smoothed_rotations

FRAMES = np.arange(60.0)


def test_steady_motion_stays_as_it_is_to_the_ends():
    line = np.stack([3 + 0.5 * FRAMES, -FRAMES], axis=1)
    np.testing.assert_allclose(smoothed(line, 1.2), line, atol=1e-6)


def test_noise_falls_to_less_than_half_between_frames():
    noise = np.random.default_rng(0).normal(size=(500, 3))
    left = smoothed(noise, 1.2)
    assert np.diff(left, axis=0).std() < 0.3 * np.diff(noise, axis=0).std()


@pytest.mark.parametrize("period", [20.0, 40.0])
def test_a_swing_keeps_its_time_and_nearly_its_height(period):
    swing = np.sin(2 * np.pi * FRAMES / period)[:, None]
    left = smoothed(swing, 1.2)
    quadrature = np.cos(2 * np.pi * FRAMES / period)[5:-5]
    assert abs(left[5:-5, 0] @ quadrature) < 0.02 * abs(left[5:-5, 0] @ swing[5:-5, 0])
    assert left.max() > 0.9


def test_an_uncertain_frame_takes_its_value_from_its_neighbours():
    values, weights = np.zeros((21, 1)), np.ones(21)
    values[10], weights[10] = 9.0, 1e-6
    np.testing.assert_allclose(smoothed(values, 1.2, weights), 0, atol=0.01)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_frames_stay_finite(count):
    assert np.isfinite(smoothed(np.ones((count, 2)), 3.0)).all()


def test_rotations_near_a_half_turn_do_not_jump():
    """Axis-angle vectors of heads that face the camera have an angle of about π, and change sign beyond it."""
    turns = Rotation.from_euler("YX", np.stack([10 * np.sin(FRAMES / 6), np.full(60, 180.0)], axis=1), degrees=True)
    noisy = turns * Rotation.from_rotvec(np.random.default_rng(0).normal(0, 0.01, (60, 3)))
    left = Rotation.from_rotvec(smoothed_rotations(noisy.as_rotvec(), 1.2))
    off = np.degrees((left * turns.inv()).magnitude())
    assert off.max() < 1.5 and off.mean() < np.degrees((noisy * turns.inv()).magnitude()).mean()
