"""YuNet finds what Haar's cascades find, in boxes that frame crops alike."""

import numpy as np
import pytest

from fml_jax.corpus import examples
from fml_jax.corpus.examples import Rejected, Settings, make_example
from fml_jax.corpus.target_face import shows_face
from fml_jax.errors import InputError
from fml_jax.photos import yunet
from fml_jax.photos.boxes import Detection
from fml_jax.photos.crops import crop_from_landmarks, crop_from_photo
from fml_jax.photos.landmarks import detect_landmarks, ibug68
from fml_jax.photos.reading import list_photos, read_photo
from fml_jax.photos.yunet import YUNET_MODEL, detect_faces_with_yunet


@pytest.fixture(scope="module")
def lfw_faces(shared):
    """48 photos, none of those that its constants were measured on, with their landmarks."""
    photos = [read_photo(path) for path in list_photos(shared / "photos" / "lfw")[6 : 13 * 12 * 48 : 13 * 12]]
    marked = [(rgb, detect_landmarks(rgb)) for rgb in photos]
    return [(rgb, ibug68(points)) for rgb, points in marked if points is not None]


def test_crops_are_framed_as_crops_from_landmarks(lfw_faces):
    scale, shift = [], []
    for rgb, points in lfw_faces:
        box = next((face.box for face in detect_faces_with_yunet(rgb) if shows_face(face.box, points)), None)
        if box is None:
            continue
        from_box, from_landmarks = crop_from_photo(box), crop_from_landmarks(points)
        scale.append(from_box[0, 0] / from_landmarks[0, 0])
        centre = np.append((points.min(axis=0) + points.max(axis=0)) / 2, 1)
        shift.append((from_box - from_landmarks) @ centre)
    assert len(scale) >= 0.97 * len(lfw_faces)
    assert np.median(scale) == pytest.approx(1, abs=0.02)
    assert np.abs(np.median(shift, axis=0)).max() < 4  # of 240 pixels


def test_small_faces_in_large_photos(lfw_faces):
    rgb, points = next(pair for pair in lfw_faces if len(detect_faces_with_yunet(pair[0])) == 1)
    (alone,) = detect_faces_with_yunet(rgb)
    large = np.full((1500, 2000, 3), 128, np.uint8)
    large[700:950, 1200:1450] = rgb
    (found,) = detect_faces_with_yunet(large)
    np.testing.assert_allclose(np.array(found.box) - [1200, 700, 1200, 700], alone.box, atol=6)
    assert detect_faces_with_yunet(large, min_size=200) == []


def test_largest_first_and_confidence_in_range(shared):
    faces = detect_faces_with_yunet(read_photo(shared / "photos" / "samples" / "trump_hillary.jpg"))
    sides = [face.box[2] - face.box[0] for face in faces]
    assert len(faces) >= 2 and sides == sorted(sides, reverse=True)
    assert all(yunet.MIN_CONFIDENCE <= face.confidence <= 1 for face in faces)


@pytest.mark.parametrize("shape", [(300, 400), (32, 40), (1, 640), (20, 640), (640, 20), (33, 6000)])
def test_no_face_in_flat_pictures_of_any_shape(shape):
    assert detect_faces_with_yunet(np.full((*shape, 3), 90, np.uint8)) == []


def test_no_face_in_strips_searched_after_other_pictures():
    rng = np.random.default_rng(0)  # OpenCV used what earlier searches had left in memory
    for short in rng.integers(20, 64, 300):
        detect_faces_with_yunet(np.full((*rng.integers(20, 200, 2), 3), 90, np.uint8))
        left_behind = [rng.random((size, 100), np.float32) * 1000 for size in rng.integers(1, 2000, 20)]
        del left_behind
        assert detect_faces_with_yunet(np.full((short, 640, 3), 90, np.uint8)) == []


def test_a_file_that_opencv_cannot_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "cut.onnx").write_bytes(b"\x08\x06\x12")
    monkeypatch.setenv(YUNET_MODEL.variable, str(tmp_path / "cut.onnx"))
    yunet._network.cache_clear()
    with pytest.raises(InputError, match="cut.onnx: OpenCV .* cannot read it"):
        detect_faces_with_yunet(np.zeros((100, 100, 3), np.uint8))


@pytest.mark.parametrize(
    "detector, haar, by_yunet, expected",
    [
        ("yunet", True, True, "yunet"),
        ("haar+yunet", True, True, "haar"),
        ("haar+yunet", False, True, "yunet"),
        ("haar+yunet", "elsewhere", True, "yunet"),
        ("haar+yunet", False, False, "no face"),
        ("haar+yunet", "elsewhere", False, "box misses landmarks"),
        ("haar", False, True, "no face"),
        ("haar+mediapipe", False, True, "landmarks"),
    ],
)
def test_who_frames_the_crop(lfw_faces, monkeypatch, detector, haar, by_yunet, expected):
    rgb, points = lfw_faces[0]
    box = next(face.box for face in detect_faces_with_yunet(rgb) if shows_face(face.box, points))
    boxes = {True: [Detection(box, 1.0)], False: [], "elsewhere": [Detection((0.0, 0.0, 30.0, 30.0), 1.0)]}
    moved = tuple(corner + 3 for corner in box)  # tells YuNet's from Haar's
    monkeypatch.setitem(examples.DETECT, "haar", lambda rgb: boxes[haar])
    monkeypatch.setitem(examples.DETECT, "yunet", lambda rgb: [Detection(moved, 1.0)] if by_yunet else [])
    made = make_example(rgb, Settings(detector=detector))
    if isinstance(made, Rejected):
        assert made.reason == expected
        return
    crops = {"haar": crop_from_photo(box), "yunet": crop_from_photo(moved), "landmarks": crop_from_landmarks(points)}
    to_crop = made.crop[:, :2] @ np.linalg.inv(made.to_photo[:, :2])
    middle = made.crop @ np.append(
        np.linalg.inv(made.to_photo[:, :2]) @ (np.array([125.0, 125.0]) - made.to_photo[:, 2]), 1
    )
    np.testing.assert_allclose(to_crop, crops[expected][:, :2], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(middle, crops[expected] @ [125.0, 125.0, 1.0], atol=1e-3)
