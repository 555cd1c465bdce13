"""Crops for the score: every condition changes what it names, and only faces count as faces."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from fml_jax.corpus.layouts import LAYOUTS
from fml_jax.errors import InputError
from fml_jax.photos.boxes import Detection, overlap
from fml_jax.photos.crops import crop_from_landmarks, crop_photo
from fml_jax.photos.landmarks import detect_landmarks, ibug68
from fml_jax.training import score_crops
from fml_jax.training.score_crops import (
    DARK_FALSE,
    FACES,
    FALSE,
    HEADS,
    OTHERS,
    PLACES,
    PLACES_A_FACE,
    SHARES,
    MarkedFace,
    crops_by_kind,
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


def test_masks_cover_mouth_and_chin_and_leave_the_eyes(face, plain, still, monkeypatch):
    monkeypatch.setattr(score_crops, "_times", lambda crop, factors: crop)  # some are darkened as a whole
    affine = crop_from_landmarks(face.landmarks68)
    points = np.round(face.landmarks68 @ affine[:, :2].T + affine[:, 2]).astype(int)
    covered = []
    for rng in rngs(8):
        changed = np.abs(score_crops.masked(face, rng).astype(int) - plain).max(axis=2) > 3
        eyes, mouth, chin = (
            np.mean([changed[y, x] for x, y in points[part]]) for part in (slice(36, 48), slice(48, 68), slice(6, 11))
        )
        assert eyes == 0
        covered.append([mouth, chin])
    assert np.mean(covered, axis=0) == pytest.approx([1, 1], abs=0.1)  # a mask may have a mouth's colours somewhere


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


def test_dark_false_boxes_are_searched_in_the_dark(monkeypatch):
    """At 0.06 to 0.5 of the brightness, while the others are searched as they are."""
    seen = []
    monkeypatch.setattr(score_crops, "candidates", lambda picture: seen.append(picture.mean()) or [])
    rgb = np.full((200, 200, 3), 200, np.uint8)
    for dark in (False, True):
        list(false_box_crops(rgb, [], np.random.default_rng(0), looks=30, dark=dark))
    plain, dark = seen[:30], seen[30:]
    assert min(plain) > 100 and len(dark) == 30
    ratios = np.array(dark) / plain
    assert 0.05 < ratios.min() < 0.12 and 0.35 < ratios.max() < 0.51


def test_photos_that_cannot_be_read_are_reported_and_left_out(shared, tmp_path, capsys, monkeypatch):
    good, other = LAYOUTS["youtube"].find(shared / "photos" / "youtube", 1.0)[:2]
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(Path(good.path).read_bytes()[:2000])
    monkeypatch.setattr(score_crops, "detect_mesh", lambda rgb, box=None: np.zeros((478, 3)))
    monkeypatch.setattr(score_crops, "ibug68", lambda points: np.array(good.reference68, np.float32))
    frames = [other._replace(path=str(damaged)), other]
    kinds = dict(crops_by_kind([damaged, Path(good.path)], frames, 5, searched=9))
    assert kinds.keys() >= {*FACES, *HEADS, *OTHERS} and {len(kinds[kind]) for kind in (*FACES, *HEADS)} == {1}
    assert {len(kinds[kind]) for kind in PLACES} == {PLACES_A_FACE}
    # As a photo, as a frame, and twice in the search for false boxes.
    assert capsys.readouterr().err.count(f"left out: {damaged}: the file is damaged or cut short") == 4


def test_photos_without_a_face_are_too_few(tmp_path):
    with pytest.raises(InputError, match="no faces with landmarks in 0 photos and 0 frames"):
        next(crops_by_kind([], [], 5, searched=0))


def test_others_count_twice_as_much_as_faces():
    sums = [sum(share for kind, share in SHARES.items() if is_face(kind) is faces) for faces in (True, False)]
    assert sums == pytest.approx([1, 2])
    assert set(SHARES) == {*FACES, *HEADS, *OTHERS, FALSE, DARK_FALSE} and not is_face(FALSE)
