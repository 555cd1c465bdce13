"""Corpora: what building keeps and skips, and batches that depend on seed and step alone."""

import json

import cv2
import numpy as np
import pytest

from fml_jax.data.corpus import CorpusBatches, _black_border, build_corpus, is_validation, make_example, open_corpus
from fml_jax.data.crops import CROP_SIZE, apply_affine, crop_photo
from fml_jax.data.landmarks import detect_landmarks, ibug68
from fml_jax.data.photos import read_photo
from fml_jax.errors import InputError


@pytest.fixture(scope="module")
def corpus(shared, tmp_path_factory):
    """A corpus of 24 people, built beside one broken photo and one without a face."""
    photos = tmp_path_factory.mktemp("photos")
    for person in sorted((shared / "photos" / "lfw").iterdir())[:24]:
        (photos / person.name).mkdir()
        first = sorted(person.iterdir())[0]
        (photos / person.name / first.name).write_bytes(first.read_bytes())
    (photos / "Broken").mkdir()
    (photos / "Broken" / "broken.jpg").write_bytes(b"no picture")
    (photos / "Nobody").mkdir()
    cv2.imwrite(str(photos / "Nobody" / "nobody.png"), np.full((250, 250, 3), 128, np.uint8))
    folder = tmp_path_factory.mktemp("corpus")
    about = build_corpus(photos, folder)
    return folder, about, photos


def test_bad_photos_are_skipped_and_the_counts_agree(corpus):
    folder, about, photos = corpus
    names = (folder / "names.txt").read_text().split("\n")[:-1]
    arrays = open_corpus(folder)
    assert about == json.loads((folder / "corpus.json").read_text())
    assert about["photos"] == 26 and 20 <= about["examples"] <= 24
    assert {len(array) for array in arrays.values()} == {len(names)} == {about["examples"]}
    assert not any(name.startswith(("Broken", "Nobody")) for name in names)
    people = [is_validation(name.split("/")[0]) for name in names]
    np.testing.assert_array_equal(arrays["split"], people)
    assert about["validation"] == sum(people) and about["training"] == len(names) - sum(people)


def test_landmarks_lie_on_the_face_of_the_window(corpus):
    arrays = open_corpus(corpus[0])
    stored = ibug68(arrays["landmarks"][0])
    seen = ibug68(detect_landmarks(arrays["windows"][0].copy()))
    assert np.linalg.norm(stored - seen, axis=1).mean() < 2
    framed = apply_affine(arrays["crops"][0], stored)
    assert np.abs((framed.min(axis=0) + framed.max(axis=0)) / 2 - (CROP_SIZE - 1) / 2).max() < 0.2 * CROP_SIZE


def test_a_large_photo_gets_a_window_about_the_face(shared):
    example = make_example(read_photo(shared / "photos" / "samples" / "emma.jpg"), "emma", off_centre=None)
    box = np.ptp(ibug68(example.landmarks), axis=0)
    assert 50 < np.sqrt(np.prod(box)) < 130
    with pytest.raises(InputError, match="not in the middle"):
        make_example(read_photo(shared / "photos" / "samples" / "emma.jpg"), "emma", off_centre=0.01)


def test_black_borders_are_told_from_black_hair():
    window = np.full((256, 256, 3), 100, np.uint8)
    window[:20] = 0
    window[100:140, 100:140] = 0
    border = _black_border(window)
    assert border[:20].all() and not border[25:].any()


def test_unfinished_corpora_are_refused(tmp_path):
    with pytest.raises(InputError, match="no finished training corpus"):
        CorpusBatches(tmp_path, "train", 4)


def test_folders_without_faces_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((250, 250, 3), 128, np.uint8))
    with pytest.raises(InputError, match="no photo with a face"):
        build_corpus(tmp_path, tmp_path / "corpus", workers=1)


def test_batches_have_the_shapes_that_training_expects(corpus):
    batch = CorpusBatches(corpus[0], "train", 5).batch(0)
    shapes = {name: (array.shape, array.dtype.name) for name, array in batch.items()}
    assert shapes == {
        "crop": ((5, 240, 240, 3), "uint8"),
        "mask": ((5, 240, 240), "uint8"),
        "landmarks": ((5, 68, 2), "float32"),
        "confidence": ((5, 68), "float32"),
        "is_face": ((5,), "float32"),
        "code": ((5, 257), "float32"),
        "has_code": ((5,), "float32"),
    }
    assert not batch["has_code"].any() and set(np.unique(batch["mask"])) <= {0, 1}


def test_a_batch_is_a_function_of_seed_and_step(corpus):
    one, other = (CorpusBatches(corpus[0], "train", 6, seed=3) for _ in range(2))
    one.batch(0), one.batch(9)  # whatever was asked for before
    resumed = [other.batch(step) for step in (4, 5)]
    for step, batch in zip((4, 5), resumed):
        for name, array in one.batch(step).items():
            np.testing.assert_array_equal(array, batch[name])
    assert (CorpusBatches(corpus[0], "train", 6, seed=4).batch(4)["crop"] != resumed[0]["crop"]).any()


def test_an_epoch_shows_each_photo_once(corpus):
    batches = CorpusBatches(corpus[0], "train", 1, jitter=0.0, mirror=0.0, negatives=0.0)
    crops = {batches.batch(step)["crop"].tobytes() for step in range(len(batches))}
    assert len(crops) == len(batches)


def test_without_jitter_the_crop_is_the_detectors(corpus):
    arrays = open_corpus(corpus[0])
    batch = CorpusBatches(corpus[0], "train", 4, jitter=0.0, mirror=0.0, negatives=0.0).batch(0)
    expected = [crop_photo(w, c.astype(float)) for w, c in zip(arrays["windows"], arrays["crops"])]
    assert all(any((crop == other).all() for other in expected) for crop in batch["crop"])


def test_mirrored_landmarks_fit_the_mirrored_face(corpus):
    batch = CorpusBatches(corpus[0], "train", 8, mirror=1.0, negatives=0.0).batch(0)
    seen = [detect_landmarks(crop) for crop in batch["crop"]]
    errors = [
        np.linalg.norm(ibug68(found) - points, axis=1).mean()
        for found, points in zip(seen, batch["landmarks"])
        if found is not None
    ]
    assert len(errors) >= 6 and np.median(errors) < 5  # swapped eyes alone would cost more


def test_negatives_come_as_often_as_told_and_carry_no_landmarks(corpus):
    batch = CorpusBatches(corpus[0], "train", 64, negatives=0.5).batch(0)
    negative = batch["is_face"] == 0
    assert 16 < negative.sum() < 48
    assert not batch["confidence"][negative].any() and batch["confidence"][~negative].mean() > 0.95
