"""What a photo of a face is like: each number moves the way its name says."""

import cv2
import numpy as np
import pytest

from fml_jax.corpus.examples import Settings
from fml_jax.corpus.quality import face_stats, fingerprint, head_angles, near_copies
from fml_jax.photos.landmarks import detect_landmarks, detect_mesh, ibug68
from fml_jax.photos.reading import read_photo


@pytest.fixture(scope="module")
def obama(shared):
    return read_photo(shared / "photos" / "samples" / "obama.jpg")


@pytest.fixture(scope="module")
def mesh(obama):
    return detect_mesh(obama)


def test_blur_and_darkness_show(obama, mesh):
    stats = face_stats(obama, mesh)
    assert face_stats(cv2.GaussianBlur(obama, (0, 0), 0.05 * stats.size), mesh).sharpness < 0.5 * stats.sharpness
    assert face_stats(obama // 2, mesh).brightness == pytest.approx(stats.brightness / 2, rel=0.02)


def test_size_is_in_photo_pixels_and_sharpness_is_not(obama, mesh):
    stats = face_stats(obama, mesh)
    small = cv2.resize(obama, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    halved = face_stats(small, mesh / 2)
    assert halved.size == pytest.approx(stats.size / 2)
    assert 0.5 < halved.sharpness / stats.sharpness < 2


def test_a_leaning_picture_leans(obama, mesh):
    yaw, pitch, roll = head_angles(mesh)
    turn = cv2.getRotationMatrix2D((0, 0), -15, 1.0)[:, :2]  # clockwise as seen
    leaning = np.column_stack([mesh[:, :2] @ turn.T, mesh[:, 2]])
    assert np.allclose(head_angles(leaning), (yaw, pitch, roll + 15), atol=4)


def test_a_turned_head_has_turned():
    """A head that faces the camera, turned by known angles."""
    from scipy.spatial.transform import Rotation

    frontal = np.zeros((478, 3))
    frontal[33], frontal[263], frontal[10], frontal[152] = [-40, 0, 0], [40, 0, 0], [0, -60, 0], [0, 60, 0]
    turned = frontal @ Rotation.from_euler("y", -30, degrees=True).as_matrix().T
    assert np.allclose(head_angles(turned), (30, 0, 0), atol=1e-3)  # the nose, at -z, goes to the picture's right
    raised = frontal @ Rotation.from_euler("x", -20, degrees=True).as_matrix().T
    assert np.allclose(head_angles(raised), (0, 20, 0), atol=1e-3)


def test_near_copies_are_found_and_others_are_not(shared):
    folders = sorted((shared / "photos" / "lfw").iterdir())[:30]
    photos = [read_photo(sorted(folder.iterdir())[0]) for folder in folders]
    copies = [recompressed(photo) for photo in photos]
    prints = np.stack([fingerprint(photo, ibug68(detect_landmarks(photo))) for photo in photos + copies])
    found = near_copies(prints, Settings().duplicate_bits)
    assert found.items() <= {30 + k: k for k in range(30)}.items() and len(found) >= 28


def recompressed(photo):
    small = cv2.resize(photo, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    return cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)


def test_a_chain_of_near_copies_keeps_its_first_and_what_is_far_from_it():
    bits = np.array([0b0, 0b11, 0b1111, 0b111111], np.uint64)  # two bits from one to the next
    prints = np.column_stack([np.zeros(4, np.uint64), bits])
    assert near_copies(prints, 2) == {1: 0, 3: 2}
    assert near_copies(np.tile(prints[:1], (600, 1)), 0) == {row: 0 for row in range(1, 600)}
