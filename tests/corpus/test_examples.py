"""Photo → example or reason: landmarks on faces, each threshold rejects what it names."""

import dataclasses

import cv2
import numpy as np
import pytest

from fml_jax.corpus.examples import REASONS, Rejected, Settings, make_example
from fml_jax.corpus.windows import WINDOW_SIZE, black_border
from fml_jax.photos.crops import CROP_SIZE, apply_affine, crop_photo
from fml_jax.photos.landmarks import detect_landmarks, ibug68
from fml_jax.photos.reading import read_photo

SETTINGS = Settings()


@pytest.fixture(scope="module")
def photo(shared):
    return read_photo(shared / "photos" / "lfw" / "Aaron_Peirsol" / "Aaron_Peirsol_0001.jpg")


@pytest.fixture(scope="module")
def example(photo):
    return make_example(photo, name="a", source="lfw", person="Aaron_Peirsol")


def reason(rgb, **settings):
    made = make_example(rgb, dataclasses.replace(SETTINGS, **settings))
    assert isinstance(made, Rejected) and made.reason in REASONS and made.detail
    return made.reason


def test_landmarks_lie_on_the_face_of_the_window(example):
    seen = ibug68(detect_landmarks(example.window.copy()))
    assert np.linalg.norm(example.landmarks68 - seen, axis=1).mean() < 2
    np.testing.assert_array_equal(example.landmarks68, ibug68(example.landmarks478[:, :2]))
    framed = apply_affine(example.crop, example.landmarks68)
    assert np.abs((framed.min(axis=0) + framed.max(axis=0)) / 2 - (CROP_SIZE - 1) / 2).max() < 0.2 * CROP_SIZE


def test_the_window_leads_back_to_the_photo(photo, example):
    in_photo = apply_affine(example.to_photo, example.landmarks68)
    assert np.linalg.norm(in_photo - ibug68(detect_landmarks(photo)), axis=1).max() < 0.1
    inside = crop_photo(example.window, np.diag([1.0, 1.0, 1.0])[:2], WINDOW_SIZE)
    assert inside.shape == example.window.shape and example.valid.mean() > 0.5


def test_a_small_face_in_a_large_photo_gets_a_window_about_it(shared):
    made = make_example(read_photo(shared / "photos" / "samples" / "emma.jpg"))
    assert 50 < np.sqrt(np.prod(np.ptp(made.landmarks68, axis=0))) < 130


def test_each_threshold_rejects_what_it_names(photo):
    assert reason(np.full_like(photo, 128)) == "no face"
    assert reason(photo, min_size=500.0) == "too small"
    assert reason(cv2.GaussianBlur(photo, (0, 0), 5)) in ("too blurred", "low confidence")
    assert reason(photo, min_sharpness=1000.0) == "too blurred"
    assert reason(photo // 8) == "too dark"
    assert reason(photo, max_brightness=10.0) == "too bright"
    assert reason(photo, min_confidence=1.01) == "low confidence"
    aside = np.concatenate([np.full_like(photo, 128), photo], axis=1)
    assert reason(aside, off_centre=0.1) == "face off centre"
    assert not isinstance(
        make_example(photo, dataclasses.replace(SETTINGS, off_centre=0.0)), Rejected
    )  # it covers the middle


def test_without_a_box_the_crop_comes_from_the_landmarks(photo, monkeypatch):
    beside = make_example(photo, dataclasses.replace(SETTINGS, detector="mediapipe"))
    assert not beside.from_detector
    framed = apply_affine(beside.crop, beside.landmarks68)
    np.testing.assert_allclose((framed.min(axis=0) + framed.max(axis=0)) / 2, (CROP_SIZE - 1) / 2, atol=0.1)
    monkeypatch.setattr("fml_jax.corpus.examples.shows_face", lambda box, points: False)
    assert reason(photo, detector="haar") == "box misses landmarks"
    assert not make_example(photo).from_detector


@pytest.mark.parametrize("degrees", [90, 180])
def test_a_turned_photo_makes_the_example_of_the_upright_one(photo, example, degrees):
    made = make_example(np.rot90(photo, -degrees // 90).copy(), name="a", source="lfw", person="Aaron_Peirsol")
    assert made.from_detector
    turn = np.radians(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = (np.array(photo.shape[1::-1]) - 1) / 2
    expected = (apply_affine(example.to_photo, example.landmarks68) - middle) @ rotation.T + middle
    landmarks = apply_affine(made.to_photo, made.landmarks68)
    assert np.linalg.norm(landmarks - expected, axis=1).mean() < 2
    in_crop = [apply_affine(each.crop, each.landmarks68) for each in (made, example)]
    assert np.linalg.norm(in_crop[0] - in_crop[1], axis=1).mean() < 12  # of 240 pixels


def test_the_annotated_face_is_taken(photo):
    wide = np.concatenate([photo, photo[:, ::-1]], axis=1)
    right = (photo.shape[1] * 1.25, 60.0, photo.shape[1] * 1.75, 190.0)
    made = make_example(wide, annotated=right)
    assert apply_affine(made.to_photo, made.landmarks68)[:, 0].mean() > photo.shape[1]
    nowhere = make_example(photo, annotated=(0.0, 0.0, 10.0, 10.0))
    assert nowhere.reason in ("no landmarks", "another face than annotated")


def test_black_borders_are_told_from_black_hair():
    window = np.full((256, 256, 3), 100, np.uint8)
    window[:20] = 0
    window[100:140, 100:140] = 0
    border = black_border(window)
    assert border[:20].all() and not border[25:].any()


def test_the_face_in_the_middle_is_meant_where_such_are_wanted(photo):
    """Beside a face that is larger, which MediaPipe and the largest box prefer."""
    larger = cv2.resize(photo[40:210, 40:210], (500, 500), interpolation=cv2.INTER_CUBIC)
    wide = np.zeros((500, 1500, 3), np.uint8)
    wide[:, :500], wide[125:375, 625:875] = larger, photo
    made = make_example(wide, dataclasses.replace(SETTINGS, off_centre=0.2))
    assert 625 < apply_affine(made.to_photo, made.landmarks68)[:, 0].mean() < 875
    assert apply_affine((largest := make_example(wide)).to_photo, largest.landmarks68)[:, 0].mean() < 500
