"""Crops that are made on the device are those of the plain twins, `augmentation` and `camera_augmentation`."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fml_jax.corpus import camera_augmentation, device_augmentation
from fml_jax.corpus.augmentation import crop_mask
from fml_jax.corpus.camera_augmentation import near_frontal
from fml_jax.corpus.device_augmentation import Moved, render_row
from fml_jax.corpus.face_labels import moved_labels
from fml_jax.image_formation.illumination import rolled_light
from fml_jax.photos.crops import CROP_SIZE, compose_affines, crop_photo, moved_affine
from fml_jax.photos.landmarks import EYE_MIRROR, IBUG_MIRROR

# One program each; without `jit` they would be some hundred.
warped = jax.jit(device_augmentation.warped, static_argnames=("size", "beyond"))
moved_pose, plain_photo_row = jax.jit(device_augmentation.moved_pose), jax.jit(device_augmentation.plain_photo_row)
photo_row = jax.jit(device_augmentation.photo_row, static_argnames="negatives")
near_frontal_of = jax.jit(device_augmentation.near_frontal)

MOVED = Moved(jnp.array([7.0, -4.0]), jnp.float32(1.07), jnp.float32(0.15))
SAME = np.eye(3)[:2]


@pytest.fixture
def row():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (16, 16, 3)).astype(np.float32)
    window = np.asarray(jax.image.resize(coarse, (256, 256, 3), "linear")).round().astype(np.uint8)
    valid = np.ones((256, 256), bool)
    valid[:, :90] = False
    return {
        "windows": window,
        "valid": valid,
        "crop": np.array([[1.6, 0.1, -70], [-0.1, 1.6, -60]], np.float32),
        "landmarks": rng.uniform(60, 190, (68, 2)).astype(np.float32),
        "confidence": rng.uniform(0.2, 1, 68).astype(np.float32),
        "eyes": rng.uniform(60, 190, (14, 2)).astype(np.float32),
        "code": np.zeros(257, np.float32),
        "labels": rng.integers(0, 3, (120, 120)).astype(np.uint8),
    }


def test_an_affine_moves_as_its_twin():
    twin = moved_affine(SAME, np.array([7.0, -4.0]), 1.07, roll=0.15)
    np.testing.assert_allclose(MOVED.affine(), twin, atol=1e-4)


def test_a_crop_is_cut_as_photos_are(row):
    made = plain_photo_row(row)
    assert np.abs(255 * np.asarray(made["crop"]) - crop_photo(row["windows"], row["crop"])).max() < 4
    differ = np.asarray(made["mask"]) != crop_mask(row["valid"], row["crop"]).astype(bool)
    assert differ.mean() < 0.01  # along the edge alone


def test_a_border_is_continued_or_replaced(row):
    away = np.array([[1.0, 0, 400], [0, 1, 0]], np.float32)
    np.testing.assert_allclose(
        warped(row["windows"], away, CROP_SIZE)[:, 0], row["windows"][:CROP_SIZE, 0] / 255, atol=1e-5
    )
    assert (np.asarray(warped(row["windows"], away, CROP_SIZE, beyond=0.0)) == 0).all()


def test_a_pose_moves_as_its_twin():
    pose = np.array([2.9, 0.3, -0.4, 12.0, -9.0, 930.0])
    twin = camera_augmentation._moved_pose(pose, np.array([7.0, -4.0]), 1.07, 0.15)
    np.testing.assert_allclose(moved_pose(jnp.asarray(pose, jnp.float32), MOVED), twin, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_axis_angles_are_the_ones_near_a_frontal_face(seed):
    turn = Rotation.from_rotvec(np.random.default_rng(seed).normal(size=3) * 0.5) * Rotation.from_rotvec([np.pi, 0, 0])
    found = near_frontal_of(jnp.asarray(turn.as_matrix(), jnp.float32))
    np.testing.assert_allclose(found, near_frontal(turn.as_rotvec()), atol=1e-3)


def test_light_and_affines_are_moved_on_the_device_as_in_numpy():
    rng = np.random.default_rng(2)
    gamma, after, before = (rng.normal(size=shape).astype(np.float32) for shape in ((9, 3), (2, 3), (2, 3)))
    np.testing.assert_allclose(jax.jit(rolled_light)(gamma, jnp.float32(0.4)), rolled_light(gamma, 0.4), atol=1e-5)
    composed = compose_affines(after, before)
    assert isinstance(composed, np.ndarray)
    np.testing.assert_allclose(jax.jit(compose_affines)(after, before), composed, atol=1e-5)


def test_labels_move_with_the_picture(row):
    half = MOVED._replace(shift=MOVED.shift / 2)
    found = jax.jit(device_augmentation._moved_labels)(jnp.asarray(row["labels"]), half)
    twin = moved_labels(row["labels"], moved_affine(SAME, np.array([7.0, -4.0]), 1.07, roll=0.15))
    assert (np.asarray(found) == twin).mean() > 0.97  # random labels: rounding decides at the edges


def test_a_mirrored_photo_exchanges_left_and_right(row):
    key = jax.random.key(3)
    plain, flipped = (photo_row(key, row, negatives=0.0, flip=jnp.bool(flip)) for flip in (False, True))
    np.testing.assert_allclose(flipped["crop"], np.asarray(plain["crop"])[:, ::-1], atol=1e-6)
    np.testing.assert_allclose(
        flipped["landmarks"][:, 0], (CROP_SIZE - 1 - np.asarray(plain["landmarks"])[IBUG_MIRROR, 0]), atol=1e-3
    )
    np.testing.assert_allclose(flipped["confidence"], np.asarray(plain["confidence"])[IBUG_MIRROR])
    np.testing.assert_allclose(
        flipped["eyes"][:, 0], (CROP_SIZE - 1 - np.asarray(plain["eyes"])[EYE_MIRROR, 0]), atol=1e-3
    )


def test_negatives_show_no_face_and_count_no_landmark(row):
    made = photo_row(jax.random.key(0), row, negatives=1.0, flip=jnp.bool(False))
    assert made["is_face"] == 0 and not np.asarray(made["confidence"]).any()


def test_a_darkened_render_has_darker_light(row, monkeypatch):
    row = {**row, "windows": row["windows"][:CROP_SIZE, :CROP_SIZE] // 2 + 60, "code": np.zeros(257, np.float32)}
    row["code"][-27:] = 1.0
    for name in ("BLURRED", "NOISY"):
        monkeypatch.setattr(device_augmentation, name, 0.0)
    monkeypatch.setattr(device_augmentation, "DARKER", 1.0)
    brightness, light, render = [], [], jax.jit(lambda key, row: render_row(key, row))  # traced with these settings
    for k in range(6):
        made = render(jax.random.key(k), row)
        brightness.append(np.asarray(made["crop"]).mean())
        light.append(np.asarray(made["code"][-27:-24]).mean())  # of the constant harmonic
    ratios = np.array(brightness) / np.array(light)
    assert max(light) / min(light) > 1.3 and ratios.std() / ratios.mean() < 0.05


def defects_of(crop, monkeypatch, *, blurred=0.0, noisy=0.0):
    """A crop with defects that are certain or absent."""
    monkeypatch.setattr(device_augmentation, "BLURRED", blurred)
    monkeypatch.setattr(device_augmentation, "NOISY", noisy)
    return np.asarray(jax.jit(lambda key, crop: device_augmentation.with_defects(key, crop))(jax.random.key(3), crop))


def test_a_blur_is_a_gaussian_that_continues_the_border(monkeypatch):
    crop = np.random.default_rng(0).random((CROP_SIZE, CROP_SIZE, 3), np.float32)
    found = defects_of(crop, monkeypatch, blurred=1.0)
    blurs = [
        cv2.GaussianBlur(crop, (11, 11), width, borderType=cv2.BORDER_REPLICATE) for width in np.arange(0.8, 2.4, 0.02)
    ]
    assert min(np.abs(found - blur).max() for blur in blurs) < 0.01 < np.abs(found - crop).max()


def test_noise_is_white_and_as_strong_as_the_setting(monkeypatch):
    noise = (defects_of(np.full((CROP_SIZE, CROP_SIZE, 3), 0.5, np.float32), monkeypatch, noisy=1.0) - 0.5).ravel()
    assert 0.001 < noise.std() < device_augmentation.NOISE and abs(noise.mean()) < 0.02 * noise.std()
    for distance in (1, 3, CROP_SIZE, len(noise) // 2):
        assert abs(np.corrcoef(noise[distance:], noise[:-distance])[0, 1]) < 0.02
    white = np.asarray(device_augmentation._white_noise(jax.random.key(0), (64, 64, 3)))
    np.testing.assert_allclose([white.mean(), white.std()], [0, 1], atol=0.02)


def test_without_defects_a_crop_stays_as_it_is(monkeypatch):
    crop = np.random.default_rng(0).random((CROP_SIZE, CROP_SIZE, 3), np.float32)
    np.testing.assert_allclose(defects_of(crop, monkeypatch), crop, atol=1e-6)
