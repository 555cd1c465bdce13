"""Crops: conventions to the pixel, exact inverses, and smooth pictures when shrinking."""

import math

import numpy as np
import pytest

from fml_jax.photos.crops import (
    CROP_SIZE,
    HAAR_SCALE_STD,
    HAAR_SHIFT_STD,
    apply_affine,
    crop_from_landmarks,
    crop_from_photo,
    crop_photo,
    invert_affine,
    jitter_affine,
    moved_affine,
)

MIDDLE = (CROP_SIZE - 1) / 2


def landmarks_in(x0, y0, x1, y1):
    points = np.random.default_rng(0).uniform([x0, y0], [x1, y1], (68, 2))
    points[:2] = [[x0, y0], [x1, y1]]
    return points


def test_landmark_crop_has_the_box_in_its_middle():
    points = landmarks_in(100.0, 50.0, 190.0, 90.0)
    affine = crop_from_landmarks(points)
    np.testing.assert_allclose(apply_affine(affine, np.array([145.0, 70.0])), [MIDDLE, MIDDLE])
    side = 1.5 * 60  # √(90 · 40)
    edge = np.array([145 - side / 2, 70 - side / 2])
    np.testing.assert_allclose(apply_affine(affine, edge), [-0.5, -0.5])


def test_inverse_is_exact():
    affine = crop_from_photo((31.5, 20.0, 130.25, 118.75), roll=0.4)
    points = np.random.default_rng(1).uniform(-50, 300, (20, 2))
    np.testing.assert_allclose(apply_affine(invert_affine(affine), apply_affine(affine, points)), points, atol=1e-9)


def test_roll_brings_a_leaning_head_upright():
    box, roll = (100.0, 100.0, 200.0, 200.0), 0.3
    affine = crop_from_photo(box, roll)
    down_the_face = np.array([[150.0, 150.0], [150 - 40 * math.sin(roll), 150 + 40 * math.cos(roll)]])
    top, bottom = apply_affine(affine, down_the_face)
    assert bottom[0] == pytest.approx(top[0]) and bottom[1] > top[1]
    assert top[0] == pytest.approx(MIDDLE)


def test_identity_crop_copies_pixels():
    rgb = np.random.default_rng(2).integers(0, 256, (CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop_photo(rgb, np.eye(2, 3)), rgb)


def test_edges_are_replicated():
    rgb = np.full((50, 50, 3), 200, np.uint8)
    assert (crop_photo(rgb, np.eye(2, 3)) == 200).all()


@pytest.mark.parametrize("scale", [0.13, 0.3, 0.45])
def test_shrunk_crops_are_averages_in_the_right_place(scale):
    y, x = np.mgrid[0:1300, 0:1300]
    ramp = 40 + x / 10
    stripes = np.where(x % 2 == 0, 0, 2 * ramp)  # of the same mean
    rgb = np.repeat(np.clip(stripes, 0, 255)[..., None], 3, axis=2).astype(np.uint8)[:, :850]
    affine = np.array([[scale, 0, 0.7], [0, scale, -3.2]])
    crop = crop_photo(rgb, affine, size=100).astype(float)
    pixels = np.stack(np.meshgrid(np.arange(8.0, 92), np.arange(8.0, 92)), axis=-1)
    expected = 40 + apply_affine(invert_affine(affine), pixels)[..., 0] / 10
    inside = expected < 120
    assert np.abs(crop[8:92, 8:92, 0] - expected)[inside].mean() < 8  # plain sampling is off by 40 and more
    assert abs((crop[8:92, 8:92, 0] - expected)[inside].mean()) < 1


def test_moved_affine_turns_clockwise_about_the_centre():
    moved = moved_affine(np.eye(2, 3), np.zeros(2), 2.0, roll=math.pi / 2)
    np.testing.assert_allclose(apply_affine(moved, np.array([MIDDLE + 10, MIDDLE])), [MIDDLE, MIDDLE + 20], atol=1e-9)


def test_jitter_scatters_as_told():
    rng = np.random.default_rng(3)
    drawn = np.array([jitter_affine(np.eye(2, 3), rng, roll_std=0.1) for _ in range(4000)])
    centres = np.array([apply_affine(affine, np.full(2, MIDDLE)) for affine in drawn])
    np.testing.assert_allclose(centres.std(axis=0) / CROP_SIZE, HAAR_SHIFT_STD, rtol=0.06)
    log_scale = np.log(np.hypot(drawn[:, 0, 0], drawn[:, 1, 0]))
    assert log_scale.std() == pytest.approx(HAAR_SCALE_STD, rel=0.06)
    assert np.arctan2(drawn[:, 1, 0], drawn[:, 0, 0]).std() == pytest.approx(0.1, rel=0.06)
    np.testing.assert_array_equal(
        jitter_affine(np.eye(2, 3), rng, shift_std=0.0, scale_std=0.0, roll_std=0.0), np.eye(2, 3)
    )
