"""A packed corpus holds what training needs of a corpus, and nothing of its test split."""

import cv2
import numpy as np
import pytest

from fml_jax.corpus.card import open_corpus
from fml_jax.corpus.loader import CorpusRecords
from fml_jax.corpus.packed import load_packed, pack_corpora, packed_card
from fml_jax.corpus.records import decode
from fml_jax.errors import InputError
from fml_jax.photos.landmarks import EYE_POINTS
from tests.training.test_batches import make


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("corpus"), "photos")


@pytest.fixture(scope="module")
def packed(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "photos.npz"
    pack_corpora([folder], path, quality=100)
    return path


def examples_of(folder, split):
    corpus = open_corpus(folder)
    entries = [entry for entry in corpus.entries if entry["split"] == split]
    entries.sort(key=lambda entry: entry["person"])
    records = CorpusRecords(corpus, entries)
    return [decode(records[k]) for k in range(len(entries))]


def test_examples_come_back_in_the_order_of_their_people(folder, packed):
    found, training = load_packed(packed), examples_of(folder, "train")
    assert found.training == len(training) > 5
    assert len(found.person) == len(training) + len(examples_of(folder, "validation"))
    assert (np.diff(found.person[: found.training]) >= 0).all()
    for k, example in enumerate(training):
        np.testing.assert_allclose(found.landmarks[k], example.landmarks68, atol=1 / 127)
        np.testing.assert_allclose(found.eyes[k], example.landmarks478[EYE_POINTS, :2], atol=1 / 127)
        np.testing.assert_allclose(found.crop[k], example.crop, rtol=1e-6)
        assert (found.valid[k] == example.valid).all()
        small = [
            cv2.resize(each, (32, 32), interpolation=cv2.INTER_AREA) for each in (found.windows[k], example.window)
        ]
        assert np.abs(small[0].astype(int) - small[1]).mean() < 6


def test_the_test_split_is_left_out(folder, packed):
    held_back = {example.person for example in examples_of(folder, "test")}
    everyone = {entry["person"] for entry in open_corpus(folder).entries}
    assert held_back and len(set(load_packed(packed).person.tolist())) <= len(everyone - held_back)


def test_landmarks_outside_the_window_have_no_confidence(folder, packed):
    found = load_packed(packed)
    points = found.landmarks[: found.training]
    outside = (points < -0.6).any(axis=2) | (points > found.windows.shape[1] - 0.4).any(axis=2)
    assert outside.any() and not found.confidence[: found.training][outside].any()


def test_cards_are_joined(folder, packed, tmp_path):
    assert packed_card(packed)["sources"] == open_corpus(folder).card["sources"]
    pack_corpora([folder, folder], tmp_path / "two.npz")
    assert packed_card(tmp_path / "two.npz")["sha256"] != packed_card(packed)["sha256"]


def test_damage_is_an_error_that_names_the_file(packed, tmp_path):
    arrays = dict(np.load(packed))
    np.savez(tmp_path / "a.npz", **{**arrays, "pictures": np.zeros_like(arrays["pictures"])})
    with pytest.raises(InputError, match=r"a\.npz: not a packed corpus"):
        load_packed(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", code=np.zeros(3))
    with pytest.raises(InputError, match=r"b\.npz: not a packed corpus"):
        load_packed(tmp_path / "b.npz")


def test_photos_and_renders_are_packed_apart(folder, tmp_path, tmp_path_factory):
    renders = make(tmp_path_factory.mktemp("renders"), "synthetic")
    with pytest.raises(InputError, match="pack each kind"):
        pack_corpora([folder, renders], tmp_path / "both.npz")
