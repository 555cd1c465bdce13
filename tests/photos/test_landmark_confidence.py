"""Confidence tells landmarks that are seen from landmarks that are guessed."""

import numpy as np
import pytest

from benchmarks.confidence import measure
from fml_jax.photos import landmark_confidence as confidence
from fml_jax.photos.landmark_confidence import landmark_confidence
from fml_jax.photos.landmarks import detect_landmarks, ibug68
from fml_jax.photos.reading import read_photo


@pytest.fixture(scope="module")
def photo(shared):
    return read_photo(shared / "photos" / "lfw" / "Aaron_Peirsol" / "Aaron_Peirsol_0001.jpg")


def test_agreeing_looks_are_sure_and_photo_edges_are_not(photo):
    points = ibug68(detect_landmarks(photo))
    sure = landmark_confidence(photo, points)
    assert sure.min() > 0.3 and sure.mean() > 0.75 and sure.max() <= 1
    cut = int(points[16, 0]) - 3
    beyond = landmark_confidence(photo[:, :cut], points)
    assert (beyond[points[:, 0] > cut - 0.5] == 0).all()


def test_moved_landmarks_lose_confidence(photo):
    points = ibug68(detect_landmarks(photo))
    moved = points.copy()
    moved[30] += 0.1 * np.ptp(points, axis=0).mean()
    before, after = landmark_confidence(photo, points), landmark_confidence(photo, moved)
    assert after[30] < 0.5 * before[30]


def test_no_second_look_is_no_confidence(photo, monkeypatch):
    points = ibug68(detect_landmarks(photo))
    monkeypatch.setattr(confidence, "detect_landmarks", lambda rgb: None)
    assert not landmark_confidence(photo, points).any()


def test_a_neighbour_is_no_second_opinion(photo, monkeypatch):
    points = ibug68(detect_landmarks(photo))
    neighbour = np.tile(points[:1] + 300, (478, 1))
    monkeypatch.setattr(confidence, "detect_landmarks", lambda rgb: neighbour)
    assert not landmark_confidence(photo, points).any()


def test_low_confidence_ranks_errors_on_renders():
    """Of the landmarks of renders, whose true places are known, those with least confidence are the worst."""
    errors, sure = measure(40)
    doubtful = sure < np.quantile(sure, 0.1)
    assert errors[doubtful].mean() > 1.5 * errors[~doubtful].mean()
