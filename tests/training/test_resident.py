"""Batches made on the device hold pairs of one person, known occluders, and the same rows in every call."""

import dataclasses

import numpy as np
import pytest

from fml_jax.corpus.building import build
from fml_jax.corpus.face_labels import LIKELY_BACKGROUND, LIKELY_FACE, OCCLUDER, UNKNOWN
from fml_jax.corpus.packed import pack_corpora
from fml_jax.errors import InputError
from fml_jax.training.batches import StageBatches, copy_cards, validation_batch
from fml_jax.training.config import DataConfig
from fml_jax.training.resident import ResidentBatches, is_packed
from tests.corpus.stub_build import Number
from tests.training.test_batches import Make, make, stage_of


class OfFewPeople(Make):
    """Photos, four of each person; renders of which an occluder hides the left half."""

    def __call__(self, item):
        example = super().__call__(item)
        if example.source == "photos":
            return dataclasses.replace(example, person=f"person {item.number // 4}")
        labels = np.zeros((120, 120), np.uint8)
        labels[:, :60] = OCCLUDER
        return dataclasses.replace(example, labels=labels)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    paths = {}
    for source in ("synthetic", "photos"):
        folder = tmp_path_factory.mktemp(source)
        about = {"sources": [{"name": source, "layout": source, "weight": 1.0, "input": "", "where": "", "terms": ""}]}
        items = [Number(f"{source}/{k}", source, k) for k in range(80)]
        build(folder, items, OfFewPeople(source), about=about, workers=1)
        paths[source] = str(folder.parent / f"{source}.npz")
        pack_corpora([folder], paths[source])
    return DataConfig(**paths)


@pytest.fixture(scope="module")
def batch(data):
    return {name: np.asarray(value) for name, value in ResidentBatches(data, stage_of(4, 12), 0).batch(5).items()}


def test_rows_are_a_function_of_seed_and_step(data, batch):
    again = ResidentBatches(data, stage_of(4, 12), 0).batch(5)
    assert all((batch[name] == np.asarray(again[name])).all() for name in batch)
    other = ResidentBatches(data, stage_of(4, 12), 0).batch(6)
    assert (batch["crop"] != np.asarray(other["crop"])).any()


def test_the_columns_are_those_of_batches_from_folders(data, batch, tmp_path):
    folders = DataConfig(synthetic=make(tmp_path / "s", "synthetic", 8), photos=make(tmp_path / "p", "photos"))
    plain = StageBatches(folders, stage_of(4, 12), 0).batch(0)
    assert set(batch) == {*plain, "labels", "person"}
    shapes = {name: (column.shape, column.dtype) for name, column in plain.items()}
    assert {name: (batch[name].shape, shape[1]) for name, shape in shapes.items()} == shapes
    assert batch["crop"].dtype == np.uint8 and batch["has_code"].tolist() == [1] * 4 + [0] * 12


def test_neighbours_are_two_photos_of_one_person(batch):
    person = batch["person"][4:].reshape(-1, 2)
    assert (batch["person"][:4] == -1).all() and (person[:, 0] == person[:, 1]).all()
    crops = batch["crop"][4:].reshape(-1, 2, *batch["crop"].shape[1:])
    assert (crops[:, 0] != crops[:, 1]).any(axis=(1, 2, 3)).all()


def test_occluders_are_pasted_on_photos_and_labelled(batch):
    labels = batch["labels"][4:]
    pasted = (labels == OCCLUDER).any(axis=(1, 2))
    assert 0 < pasted.sum() < len(pasted)
    assert set(np.unique(labels[~pasted])) <= {LIKELY_FACE, LIKELY_BACKGROUND, UNKNOWN}


def test_shapes_are_pasted_where_the_occlusion_head_is_trained(data, batch):
    stage = dataclasses.replace(stage_of(4, 12), occlusion=1.0)
    other = {name: np.asarray(value) for name, value in ResidentBatches(data, stage, 0).batch(5).items()}
    changed = (other["crop"] != batch["crop"]).any(axis=(1, 2, 3))
    assert 0 < changed.sum() < len(changed)
    hidden, before = ((each["labels"] == OCCLUDER).sum(axis=(1, 2)) for each in (other, batch))
    assert (hidden[~changed] == before[~changed]).all() and (hidden > before).any()
    assert all((other[name] == batch[name]).all() for name in batch if name not in ("crop", "labels"))


def test_held_out_photos_are_framed_by_the_detector(data):
    held_out = validation_batch(data, "photos", 3)
    assert len(held_out["crop"]) == 3 and held_out["is_face"].all() and held_out["crop"].dtype == np.uint8
    again = validation_batch(data, "photos", 3)
    assert (held_out["crop"] == again["crop"]).all()


def test_cards_are_copied(data, tmp_path):
    assert copy_cards(data, tmp_path) == [] and (tmp_path / "photos.corpus.json").is_file()


def test_a_file_and_a_folder_do_not_mix(data, tmp_path):
    assert is_packed(data, stage_of(1, 1)) and not is_packed(DataConfig(photos="folder"), stage_of(0, 1))
    with pytest.raises(InputError, match="pack both"):
        is_packed(dataclasses.replace(data, photos=str(tmp_path)), stage_of(1, 1))


def test_renders_are_not_photos(data):
    with pytest.raises(InputError, match="other kind"):
        ResidentBatches(DataConfig(photos=data.synthetic), stage_of(0, 2), 0)


def test_identity_needs_packed_photos(tmp_path):
    stage = dataclasses.replace(stage_of(0, 2), identity=1.0)
    with pytest.raises(InputError, match="fml-pack"):
        StageBatches(DataConfig(photos=make(tmp_path, "photos", 4)), stage, 0)
