"""Landmarks in photos: order, sides, pixels, and crops about a box."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.photos import landmarks
from fml_jax.photos.detection import detect_faces
from fml_jax.photos.landmarks import IBUG_FROM_MEDIAPIPE, IBUG_MIRROR, detect_landmarks, ibug68
from fml_jax.photos.reading import read_photo


@pytest.fixture(scope="module")
def obama(shared):
    return read_photo(shared / "photos" / "samples" / "obama.jpg")


@pytest.fixture(scope="module")
def points(obama):
    return ibug68(detect_landmarks(obama))


def test_table_names_68_different_points():
    assert IBUG_FROM_MEDIAPIPE.shape == (68,) and len(set(IBUG_FROM_MEDIAPIPE)) == 68


def test_order_and_sides_on_a_frontal_face(points):
    x, y = points.T
    assert (np.diff(x[:17]) > 0).sum() >= 14 and x[0] < x[16]  # contour from the photo's left to its right
    assert y[8] == y.max()  # chin
    assert (np.diff(x[17:27]) > 0).all()  # brows
    assert (np.diff(y[27:31]) > 0).all()  # bridge of the nose, downwards
    assert (np.diff(x[31:36]) > 0).all()  # below the nose
    for eye in (slice(36, 42), slice(42, 48)):
        a, b, c, d, e, f = points[eye]
        assert a[0] < b[0] < c[0] < d[0] and f[0] < e[0] and min(e[1], f[1]) > max(b[1], c[1])
    assert y[17:27].max() < y[36:48].min()  # brows above eyes
    assert (np.diff(x[48:55]) > 0).all() and (np.diff(x[54:60]) < 0).all()  # outer lips, clockwise
    assert (np.diff(x[60:65]) > 0).all() and (np.diff(x[64:68]) < 0).all()  # inner lips
    assert y[51] < y[62] < y[66] < y[57]


def test_mirror_table_is_what_a_mirrored_photo_shows(obama, points):
    mirrored = ibug68(detect_landmarks(np.ascontiguousarray(obama[:, ::-1])))
    back = mirrored * [-1, 1] + [obama.shape[1] - 1, 0]
    size = np.sqrt(np.prod(np.ptp(points, axis=0)))
    assert np.linalg.norm(back[IBUG_MIRROR] - points, axis=1).max() < 0.05 * size
    np.testing.assert_array_equal(IBUG_MIRROR[IBUG_MIRROR], np.arange(68))


def test_pixels_have_their_centres_at_whole_numbers(monkeypatch):
    sizes = []

    def corners(rgb):
        sizes.append(rgb.shape[:2])
        return np.float32([[0, 0, 0]] * 477 + [[1, 1, 1]])

    monkeypatch.setattr(landmarks, "_detect", corners)
    photo = np.zeros((100, 200, 3), np.uint8)
    np.testing.assert_allclose(detect_landmarks(photo)[[0, -1]], [[-0.5, -0.5], [199.5, 99.5]])
    in_box = detect_landmarks(photo, (90.0, 40.0, 110.0, 60.0))
    np.testing.assert_allclose(in_box[[0, -1]], [[79.5, 29.5], [120.5, 70.5]])
    assert sizes == [(100, 200), (41, 41)]


def test_a_box_gives_the_same_points_in_a_larger_photo(obama, points):
    large = np.full((2400, 3600, 3), 128, np.uint8)
    large[600 : 600 + obama.shape[0], 2000 : 2000 + obama.shape[1]] = obama
    box = np.array(detect_faces(obama)[0].box) + [2000, 600, 2000, 600]
    again = ibug68(detect_landmarks(large, tuple(box))) - [2000, 600]
    size = np.sqrt(np.prod(np.ptp(points, axis=0)))
    assert np.linalg.norm(again - points, axis=1).mean() < 0.02 * size


def test_no_face_is_none():
    grey = np.full((100, 100, 3), 128, np.uint8)
    assert detect_landmarks(grey) is None
    assert detect_landmarks(grey, (20.0, 20.0, 60.0, 60.0)) is None
    assert detect_landmarks(grey, (300.0, 20.0, 340.0, 60.0)) is None  # a box outside the photo


def test_without_mediapipe_its_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(InputError, match="run: pip install mediapipe$"):
        detect_landmarks(np.zeros((100, 100, 3), np.uint8))


def test_a_model_file_that_mediapipe_cannot_read_is_named(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "other.task", "w") as other:
        other.writestr("letter.txt", "Dear reader")
    monkeypatch.setenv("FML_FACE_LANDMARKER", str(tmp_path / "other.task"))
    landmarks._landmarker.cache_clear()
    with pytest.raises(InputError, match="other.task: MediaPipe cannot read it"):
        detect_landmarks(np.zeros((100, 100, 3), np.uint8))


def test_a_process_that_found_landmarks_ends_without_a_message():
    program = (
        "import jax, numpy as np, fml_jax.photos.landmarks as found; found._detect(np.zeros((64, 64, 3), np.uint8))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Exception ignored" not in ended.stderr
