"""Crops for the score: every condition changes what it names, and only faces count as faces."""

import math

import cv2
import numpy as np
import pytest
from skimage import data

from fml_jax.photos.boxes import Detection, overlap
from fml_jax.photos.crops import crop_from_landmarks, crop_photo
from fml_jax.photos.landmarks import detect_landmarks, ibug68
from fml_jax.training import score_crops
from fml_jax.training.score_crops import (
    FACES,
    FALSE,
    HEADS,
    OTHERS,
    SHARES,
    MarkedFace,
    false_box_crops,
    is_face,
)


@pytest.fixture(scope="module")
def face(shared):
    rgb = np.ascontiguousarray(data.astronaut()[:300, 60:400])
    return MarkedFace(rgb, ibug68(detect_landmarks(rgb)))


def rngs(count):
    return [np.random.default_rng(k) for k in range(count)]


@pytest.fixture
def plain(face):
    return crop_photo(face.rgb, crop_from_landmarks(face.landmarks68))


@pytest.fixture
def still(monkeypatch):
    """Crops framed by the landmarks themselves, so that pixels can be compared."""
    monkeypatch.setattr(
        score_crops, "_framed", lambda face, rng, roll: crop_from_landmarks(face.landmarks68.astype(float))
    )


def test_all_kinds_are_crops_and_differ_from_draw_to_draw(face):
    for make in (FACES | OTHERS).values():
        first, second = (make(face, rng) for rng in rngs(2))
        assert first.shape == (240, 240, 3) and first.dtype == np.uint8 and (first != second).any()
        np.testing.assert_array_equal(make(face, np.random.default_rng(0)), first)


def test_dark_crops_have_an_eighth_to_a_half_of_the_brightness(face, plain, still):
    ratios = [score_crops.dark(face, rng).mean() / plain.mean() for rng in rngs(20)]
    assert min(ratios) > 0.1 and max(ratios) < 0.51 and max(ratios) > 2 * min(ratios)


def test_coloured_light_leaves_one_channel_and_grey_has_no_colour(face, plain, still):
    shares = [np.sort(score_crops.coloured(face, rng).mean(axis=(0, 1)) / plain.mean(axis=(0, 1))) for rng in rngs(20)]
    assert np.mean([share[0] < 0.65 * share[2] for share in shares]) >= 0.6
    assert (np.ptp(score_crops.grey(face, rngs(1)[0]).astype(int), axis=2) == 0).all()


def test_masks_cover_mouth_and_chin_and_leave_the_eyes(face, plain, still):
    affine = crop_from_landmarks(face.landmarks68)
    points = np.round(face.landmarks68 @ affine[:, :2].T + affine[:, 2]).astype(int)
    for rng in rngs(8):
        difference = np.abs(score_crops.masked(face, rng).astype(float) / plain.clip(1) - 1).max(axis=2)
        eyes, mouth = (
            np.median([difference[y, x] for x, y in points[part]]) for part in (slice(36, 48), slice(48, 68))
        )
        assert mouth > 0.05 and (eyes < 0.02 or eyes < mouth)  # some are darkened as a whole


def test_turned_faces_lean_by_up_to_25_degrees_and_badly_turned_ones_by_70_or_more(face, monkeypatch):
    rolls = []
    framed = score_crops._framed
    monkeypatch.setattr(
        score_crops, "_framed", lambda face, rng, roll: rolls.append(abs(roll)) or framed(face, rng, roll)
    )
    [score_crops.turned(face, rng) for rng in rngs(20)]
    assert 15 < max(rolls) <= 25
    rolls.clear()
    [score_crops.badly_turned(face, rng) for rng in rngs(20)]
    assert 70 <= min(rolls) and max(rolls) <= 180


def test_crops_beside_the_face_hardly_show_it(face):
    red = MarkedFace(np.zeros_like(face.rgb), face.landmarks68)
    cv2.fillPoly(red.rgb, [cv2.convexHull(np.round(face.landmarks68).astype(np.int32))], (255, 0, 0))
    area = (crop_photo(red.rgb, crop_from_landmarks(face.landmarks68))[..., 0] > 128).mean()
    shown = [(score_crops.beside(red, rng)[..., 0] > 128).mean() for rng in rngs(20)]
    assert np.median(shown) < 0.3 * area and max(shown) < 0.7 * area


def test_false_boxes_are_searched_beside_the_faces_only(monkeypatch):
    rgb = np.zeros((200, 200, 3), np.uint8)
    rgb[60:140, 60:140] = 255
    head = Detection((60.0, 60.0, 140.0, 140.0), 1.0)
    seen = []

    def candidates(picture):
        seen.append(picture)
        return [Detection((20.0, 20.0, 60.0, 60.0), 0.4, math.radians(90))]

    monkeypatch.setattr(score_crops, "candidates", candidates)
    crops = list(false_box_crops(rgb, [head], np.random.default_rng(0), looks=60))
    assert len(crops) == len(seen) > 5 and all(confidence == 0.4 for _, confidence in crops)
    assert np.mean([picture.mean() for picture in seen]) < 30 and overlap(head, head) == 1


def test_shares_of_faces_and_others_are_equal():
    for faces in (True, False):
        assert sum(share for kind, share in SHARES.items() if is_face(kind) is faces) == pytest.approx(1)
    assert set(SHARES) == {*FACES, *HEADS, *OTHERS, FALSE} and not is_face(FALSE)
