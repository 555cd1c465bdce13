"""Cascades find faces where MediaPipe sees them, whatever the photo's size; none where there is none."""

import cv2
import numpy as np
import pytest

from fml_jax.corpus.target_face import shows_face
from fml_jax.errors import InputError
from fml_jax.photos import haar
from fml_jax.photos.boxes import Detection, merged
from fml_jax.photos.crops import crop_from_landmarks, crop_from_photo
from fml_jax.photos.haar import detect_faces_with_haar
from fml_jax.photos.landmarks import detect_landmarks, ibug68
from fml_jax.photos.reading import list_photos, read_photo


@pytest.fixture(scope="module")
def lfw_faces(shared):
    """60 photos with their landmarks."""
    photos = [read_photo(path) for path in list_photos(shared / "photos" / "lfw")[::129]]
    marked = [(rgb, detect_landmarks(rgb)) for rgb in photos]
    return [(rgb, ibug68(points)) for rgb, points in marked if points is not None]


def test_almost_every_face_is_found(lfw_faces):
    right = [any(shows_face(face.box, points) for face in detect_faces_with_haar(rgb)) for rgb, points in lfw_faces]
    assert np.mean(right) >= 0.97


def test_crops_from_boxes_are_framed_as_crops_from_landmarks(lfw_faces):
    scale, shift = [], []
    for rgb, points in lfw_faces:
        box = next((face.box for face in detect_faces_with_haar(rgb) if shows_face(face.box, points)), None)
        if box is not None:
            from_box, from_landmarks = crop_from_photo(box), crop_from_landmarks(points)
            scale.append(from_box[0, 0] / from_landmarks[0, 0])
            centre = np.append((points.min(axis=0) + points.max(axis=0)) / 2, 1)
            shift.append((from_box - from_landmarks) @ centre)
    assert np.median(scale) == pytest.approx(1, abs=0.03)
    assert np.abs(np.median(shift, axis=0)).max() < 6  # of 240 pixels


def test_small_faces_in_large_photos(lfw_faces):
    rgb, points = next(pair for pair in lfw_faces if len(detect_faces_with_haar(pair[0])) == 1)
    (alone,) = detect_faces_with_haar(rgb)
    large = np.full((1500, 2000, 3), 128, np.uint8)
    large[700:950, 1200:1450] = rgb
    (found,) = detect_faces_with_haar(large)
    np.testing.assert_allclose(np.array(found.box) - [1200, 700, 1200, 700], alone.box, atol=12)


def test_largest_first_and_confidence_in_range(shared):
    photo = read_photo(shared / "photos" / "samples" / "trump_hillary.jpg")
    faces = detect_faces_with_haar(photo)
    sides = [face.box[2] - face.box[0] for face in faces]
    assert len(faces) >= 2 and sides == sorted(sides, reverse=True)
    assert all(0 <= face.confidence <= 1 for face in faces)


def test_no_face_in_flat_and_noisy_pictures():
    assert detect_faces_with_haar(np.full((300, 400, 3), 90, np.uint8)) == []
    assert detect_faces_with_haar(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)) == []


def test_pictures_smaller_than_a_face():
    assert detect_faces_with_haar(np.zeros((40, 32, 3), np.uint8)) == []


def test_profiles_are_searched_where_no_cascade_sees_a_frontal_face(lfw_faces, monkeypatch):
    monkeypatch.setattr(haar, "FRONTAL", haar.FRONTAL._replace(neighbours=10_000))
    monkeypatch.setattr(haar, "SECOND_LOOK", haar.FRONTAL)
    monkeypatch.setattr(
        haar, "PROFILE", haar.SECOND_LOOK._replace(neighbours=8, file="haarcascade_frontalface_alt2.xml")
    )
    rgb, points = next(pair for pair in lfw_faces if len(detect_faces_with_haar(pair[0])) == 1)
    assert shows_face(detect_faces_with_haar(rgb)[0].box, points)


def test_boxes_of_one_face_are_merged():
    sure = Detection((0.0, 0.0, 100.0, 100.0), 0.9)
    nested = Detection((20.0, 20.0, 80.0, 80.0), 0.5)
    apart = Detection((200.0, 0.0, 260.0, 60.0), 0.4)
    assert merged([nested, apart, sure], haar.SAME_FACE) == [sure, apart]


def test_opencv_without_cascades_is_named(monkeypatch):
    monkeypatch.setattr(cv2.data, "haarcascades", "/nowhere")
    haar._classifier.cache_clear()
    with pytest.raises(InputError, match="opencv-contrib-python>=4.10,<5"):
        detect_faces_with_haar(np.zeros((100, 100, 3), np.uint8))
