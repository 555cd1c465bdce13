"""Batches depend on seed and step alone, show every example, and mix sources by weight."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from fml_jax.corpus.building import build
from fml_jax.corpus.card import open_corpus
from fml_jax.corpus.loader import CorpusBatches
from fml_jax.corpus.records import decode, read_shard
from fml_jax.errors import InputError
from fml_jax.photos.crops import apply_affine, crop_photo
from fml_jax.photos.landmarks import EYE_MIRROR, IBUG_MIRROR
from tests.corpus.stub_build import Number
from tests.corpus.test_records import make_record_example

PLAIN = {"jitter": 0.0, "mirror": 0.0, "negatives": 0.0}


class Make:
    """Photos of sources "one" and "two" whose windows are flat, of a grey that tells which they are."""

    def __call__(self, item):
        photo = dataclasses.replace(
            make_record_example(item.number + 1000 * (item.source == "two")),
            source=item.source,
            person=f"{item.source}{item.number}",
            window=np.full((256, 256, 3), 3 * item.number + 100 * (item.source == "two"), np.uint8),
            valid=np.ones((256, 256), bool),
            crop=np.array([[0.9, 0.0, 5.0], [0.0, 0.9, 7.0]]),
        )
        return photo


def make_corpus(folder, weights=(1.0, 3.0), counts=(20, 30), make=None):
    items = [
        Number(f"{source}/{k}", source, k)
        for source, count in zip(("one", "two"), counts, strict=True)
        for k in range(count)
    ]
    about = {
        "sources": [
            {"name": name, "weight": weight, "input": "", "where": "", "terms": ""}
            for name, weight in zip(("one", "two"), weights, strict=True)
        ]
    }
    build(folder, items, make or Make(), about=about, workers=1, per_shard=8)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("single"), counts=(25, 0))


def test_batches_have_the_shapes_that_training_expects(folder):
    batch = CorpusBatches(folder, "train", 5).batch(0)
    assert {name: (array.shape, array.dtype.name) for name, array in batch.items()} == {
        "crop": ((5, 240, 240, 3), "uint8"),
        "mask": ((5, 240, 240), "uint8"),
        "landmarks": ((5, 68, 2), "float32"),
        "confidence": ((5, 68), "float32"),
        "eyes": ((5, 14, 2), "float32"),
        "is_face": ((5,), "float32"),
        "code": ((5, 0), "float32"),
        "has_code": ((5,), "float32"),
    }
    assert not batch["has_code"].any() and set(np.unique(batch["mask"])) <= {0, 1}


def test_a_batch_is_a_function_of_seed_and_step(folder):
    one, other = (CorpusBatches(folder, "train", 6, seed=3) for _ in range(2))
    one.batch(0), one.batch(90)  # whatever was asked for before
    resumed = [other.batch(step) for step in (40, 5)]
    for step, batch in zip((40, 5), resumed, strict=True):
        for name, array in one.batch(step).items():
            np.testing.assert_array_equal(array, batch[name])
    assert (CorpusBatches(folder, "train", 6, seed=4).batch(40)["crop"] != resumed[0]["crop"]).any()


def test_an_epoch_shows_each_example_once_and_the_next_in_another_order(single):
    batches = CorpusBatches(single, "train", 1, **PLAIN)
    greys = [int(batches.batch(step)["crop"].mean()) for step in range(2 * len(batches))]
    first, second = greys[: len(batches)], greys[len(batches) :]
    assert len(set(first)) == len(batches) and set(first) == set(second) and first != second


def test_sources_mix_by_their_numbers_times_their_weights(folder):
    batches = CorpusBatches(folder, "all", 200, **PLAIN)
    two = np.concatenate([batches.batch(step)["crop"][:, 0, 0, 0] >= 100 for step in range(2)])
    assert two.mean() == pytest.approx(30 * 3 / (30 * 3 + 20), abs=0.03)


def test_splits_are_apart(folder):
    sizes = [len(CorpusBatches(folder, split, 1)) for split in ("train", "validation", "test", "all")]
    splits = Counter(entry["split"] for entry in open_corpus(folder).entries)
    assert sizes == [splits["train"], splits["validation"], splits["test"], 50] and min(sizes) > 0


def test_without_jitter_the_crop_is_the_detectors(folder):
    corpus = open_corpus(folder)
    batch = CorpusBatches(folder, "train", 4, **PLAIN).batch(0)
    examples = [decode(record) for path in corpus.shard_paths() for record in read_shard(path)]
    for crop, landmarks, confidence in zip(batch["crop"], batch["landmarks"], batch["confidence"], strict=True):
        (example,) = (e for e in examples if np.allclose(apply_affine(e.crop, e.landmarks68), landmarks, atol=1e-3))
        np.testing.assert_array_equal(crop, crop_photo(example.window, np.array(example.crop)))
        inside = ((example.landmarks68 >= -0.5) & (example.landmarks68 <= 255.5)).all(axis=1)
        np.testing.assert_array_equal(confidence, np.where(inside, example.confidence, 0))


def test_mirroring_swaps_sides(folder):
    plain = CorpusBatches(folder, "train", 8, **PLAIN).batch(0)
    mirrored = CorpusBatches(folder, "train", 8, **{**PLAIN, "mirror": 1.0}).batch(0)
    expected = (plain["landmarks"] * [-1, 1] + [239, 0])[:, IBUG_MIRROR]
    np.testing.assert_allclose(mirrored["landmarks"], expected, atol=1e-3)
    np.testing.assert_array_equal(mirrored["confidence"], plain["confidence"][:, IBUG_MIRROR])
    expected = (plain["eyes"] * [-1, 1] + [239, 0])[:, EYE_MIRROR]
    np.testing.assert_allclose(mirrored["eyes"], expected, atol=1e-3)


def test_negatives_come_as_often_as_told_and_carry_no_landmarks(folder):
    batch = CorpusBatches(folder, "train", 64, negatives=0.5).batch(0)
    negative = batch["is_face"] == 0
    assert 16 < negative.sum() < 48
    assert not batch["confidence"][negative].any() and batch["confidence"][~negative].any()


def test_damage_is_told(tmp_path):
    folder = make_corpus(tmp_path)
    path = folder / "shards" / "00002-of-00007.arrayrecord"
    content = bytearray(path.read_bytes())
    content[20_000:30_000] = bytes(10_000)
    path.write_bytes(content)
    with pytest.raises(InputError, match="00002-of-00007.arrayrecord: unreadable shard.*delete it"):
        batches = CorpusBatches(folder, "all", 50, **PLAIN)
        batches.batch(0), batches.batch(1)
    path.unlink()
    with pytest.raises(InputError, match="00002-of-00007.arrayrecord.*missing"):
        CorpusBatches(folder, "all", 50)
    with pytest.raises(InputError, match="no finished training corpus"):
        CorpusBatches(folder / "shards", "all", 4)


def test_empty_splits_are_told(tmp_path):
    with pytest.raises(InputError, match="validation split is empty"):
        CorpusBatches(make_corpus(tmp_path, counts=(1, 0)), "validation", 4)


def test_reference_landmarks_move_with_the_crop(tmp_path):
    """Stored equal to the detected ones, they stay equal however the crop is moved and mirrored."""

    class MakeWithReference(Make):
        def __call__(self, item):
            example = super().__call__(item)
            return dataclasses.replace(example, reference68=example.landmarks68 if item.number % 2 else None)

    folder = make_corpus(tmp_path, make=MakeWithReference())
    batch = CorpusBatches(folder, "all", 50, negatives=0.2, reference=True).batch(0)
    has_reference = batch["has_reference"] == 1
    assert 0 < has_reference.sum() < 40 and not batch["reference"][~has_reference].any()
    np.testing.assert_array_equal(batch["reference"][has_reference], batch["landmarks"][has_reference])
    assert "reference" not in CorpusBatches(folder, "all", 4).batch(0)
