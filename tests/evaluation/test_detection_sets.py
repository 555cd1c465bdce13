"""The sets are what their names promise, always the same, and of held-out people."""

import functools
import itertools

import numpy as np
import pytest

from fml_jax.corpus.splits import split_of
from fml_jax.errors import InputError
from fml_jax.evaluation import detection_sets
from fml_jax.evaluation.detection import overlap, roll_difference
from fml_jax.evaluation.detection_sets import SETS, HeldOutPhotos
from fml_jax.evaluation.reference_faces import LandmarkCache, possible_faces
from fml_jax.launchers.evaluate_detection import SET_NAMES
from fml_jax.photos.reading import list_photos


@pytest.fixture(scope="module")
def photos(shared, tmp_path_factory):
    """A new look at the validation split's photos, with the landmarks that were found before."""
    cache = LandmarkCache(tmp_path_factory.mktemp("landmarks") / "landmarks.json")
    with pytest.MonkeyPatch.context() as patch:
        for function in (list_photos, split_of):  # of thousands of files, which stay as they are
            patch.setattr(detection_sets, function.__name__, functools.cache(function))
        yield lambda split="validation", seed=0: HeldOutPhotos(shared / "photos", split, cache, seed=seed)


@pytest.fixture(autouse=True)
def few_tiles(monkeypatch):
    """Scenes of few backgrounds are ready sooner."""
    monkeypatch.setattr(detection_sets, "_TILES", 4)


def first(name, photos, count):
    return list(itertools.islice(SETS[name].make(photos), count))


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_the_same_each_time(photos, name):
    count = 1 if name == "crowds" else 2
    once, again = first(name, photos(), count), first(name, photos(), count)
    assert [(each.name, each.faces) for each in once] == [(each.name, each.faces) for each in again]
    for a, b in zip(once, again, strict=True):
        np.testing.assert_array_equal(a.rgb, b.rgb)


def test_another_seed_gives_another_set(photos):
    assert first("upright", photos(), 2)[0].name != first("upright", photos(seed=1), 2)[0].name


def test_no_person_of_one_split_is_in_another(photos):
    people = {}
    for split in ("validation", "test"):
        found = [path for name in ("lfw", "youtube") for path in photos(split).paths(name)]
        people[split] = {path.parent.name for path in found}
        assert all(split_of(path.parent.name) == split for path in found)
        people[split] |= {path.stem for name in ("utkface", "masked") for path in photos(split).paths(name)}
        assert len(people[split]) > 1000
    assert not people["validation"] & people["test"]


def test_the_test_split_is_large_enough(photos):
    test = photos("test")
    assert len(test.paths("lfw")) >= 420 and len(test.paths("utkface")) >= 600
    assert len(test.paths("masked")) + len(photos().paths("masked")) == 50  # none is for training


def test_backgrounds_show_no_face(photos):
    for picture in first("background", photos(), 6):
        assert picture.faces == () and possible_faces(picture.rgb, look=320) == []


def test_rotated_faces_keep_their_size_and_turn_with_the_photo(photos):
    for plain, turned in zip(first("upright", photos(), 3), first("rotated", photos(), 3), strict=True):
        angle = float(turned.name.split()[-1].rstrip("°"))
        assert roll_difference(plain.faces[0].roll + angle, turned.faces[0].roll) < 1
        sides = [each.faces[0].box[2] - each.faces[0].box[0] for each in (plain, turned)]
        assert sides[1] == pytest.approx(sides[0], rel=1e-6)
        assert min(turned.rgb.shape[:2]) >= 250  # nothing is cut


def test_small_faces_have_the_size_that_is_promised(photos):
    for name, side in (("small_24", 24), ("small_48", 48)):
        (picture,) = first(name, photos(), 1)
        ((x0, _, x1, _), _) = picture.faces[0]
        assert x1 - x0 == pytest.approx(side, rel=1e-3)


def test_pasted_faces_are_where_their_references_are(photos):
    """MediaPipe finds them there."""
    from fml_jax.evaluation.reference_faces import reference_face
    from fml_jax.photos.landmarks import detect_landmarks, ibug68

    (picture,) = first("crowds", photos(), 1)
    assert 9 <= len(picture.faces) <= 25
    for face in picture.faces[:3]:
        points = detect_landmarks(picture.rgb, face.box)
        assert overlap(reference_face(ibug68(points)).box, face.box) > 0.7


def test_a_quarter_of_the_face_is_cut_on_each_side(photos):
    (face,) = itertools.islice(photos().lfw(), 1)
    low, high = face.landmarks68.min(axis=0), face.landmarks68.max(axis=0)
    height = (high[1] - low[1]) * (1 + detection_sets.FOREHEAD)
    left, corner = detection_sets.cut_by_a_quarter(face.rgb, face.landmarks68, 0)
    assert (corner[0] - low[0]) / (high[0] - low[0]) == pytest.approx(0.25, abs=0.02) and left.shape[0] == 250
    bottom, corner = detection_sets.cut_by_a_quarter(face.rgb, face.landmarks68, 3)
    assert (high[1] - bottom.shape[0]) / height == pytest.approx(0.25, abs=0.02) and corner.tolist() == [0, 0]


def test_lights_scale_colours_and_the_last_swaps_them():
    rgb = np.full((2, 2, 3), (200, 100, 40), np.uint8)
    assert detection_sets.in_light(rgb, "deep blue")[0, 0].tolist() == [16, 15, 40]
    assert detection_sets.in_light(rgb, detection_sets.SWAPPED)[0, 0].tolist() == [40, 100, 200]
    assert len(detection_sets.LIGHTS) + 1 == 6


def test_a_missing_collection_is_named(tmp_path):
    with pytest.raises(InputError, match="no folder lfw"):
        HeldOutPhotos(tmp_path, "test", LandmarkCache(tmp_path / "landmarks.json"))


def test_the_launcher_offers_all_sets():
    assert list(SETS) == list(SET_NAMES)
