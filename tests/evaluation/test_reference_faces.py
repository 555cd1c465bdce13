"""Reference boxes frame faces as crops from landmarks do, at any roll."""

import math

import numpy as np
import pytest

from fml_jax.evaluation.reference_faces import LandmarkCache, landmark_roll, overlaps, possible_faces, reference_face
from fml_jax.photos.crops import crop_from_landmarks, crop_from_photo
from fml_jax.photos.landmarks import detect_landmarks, ibug68
from fml_jax.photos.reading import read_photo


@pytest.fixture(scope="module")
def biden(shared):
    """A frontal face and its landmarks."""
    rgb = read_photo(shared / "photos" / "samples" / "biden.jpg")
    return rgb, ibug68(detect_landmarks(rgb)).astype(float)


def turned(points, degrees):
    """Clockwise about their mean."""
    turn = math.radians(degrees)
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return (points - points.mean(axis=0)) @ matrix.T + points.mean(axis=0)


def test_roll_follows_the_landmarks_all_the_way_round(biden):
    _, points = biden
    upright = landmark_roll(points)
    assert abs(upright) < 10
    for degrees in (-170, -90, 30, 135, 180):
        difference = landmark_roll(turned(points, degrees)) - upright - degrees
        assert (difference + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("degrees", [0, 50, -120])
def test_the_crop_from_a_reference_box_is_the_crop_from_landmarks(biden, degrees):
    points = turned(biden[1], degrees)
    face = reference_face(points)
    roll = math.radians(face.roll)
    np.testing.assert_allclose(crop_from_photo(face.box, roll), crop_from_landmarks(points, roll), atol=1e-6)


def test_places_that_might_hold_a_face_include_the_face(biden):
    rgb, points = biden
    assert overlaps((*points.mean(axis=0), *(points.mean(axis=0) + 1)), possible_faces(rgb))
    assert possible_faces(np.full((100, 160, 3), 90, np.uint8)) == []


def test_landmarks_are_kept_in_a_file(biden, tmp_path, monkeypatch):
    rgb, points = biden
    cache = LandmarkCache(tmp_path / "landmarks.json")
    np.testing.assert_allclose(cache.find("biden", rgb), points, atol=0.01)
    assert cache.find("wall", np.full((100, 160, 3), 90, np.uint8)) is None
    cache.save()
    monkeypatch.setattr("fml_jax.evaluation.reference_faces.detect_landmarks", lambda rgb: 1 / 0)
    again = LandmarkCache(tmp_path / "landmarks.json")
    np.testing.assert_allclose(again.find("biden", rgb), points, atol=0.01)
    assert again.find("wall", rgb) is None
