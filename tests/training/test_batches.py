"""Stages mix rows of renders and of photos; the cards of their corpora lie beside the checkpoints."""

import dataclasses
import json

import numpy as np
import pytest

from fml_jax.corpus.building import build
from fml_jax.errors import InputError
from fml_jax.training.batches import StageBatches, batch_shapes, copy_cards, validation_batch
from fml_jax.training.config import DataConfig, OptimizerConfig, StageConfig
from tests.corpus.stub_build import Number
from tests.corpus.test_records import make_record_example

UNMOVED = np.eye(3)[:2]


class Make:
    """Photos of many people, or renders."""

    def __init__(self, source):
        self._source = source

    def __call__(self, item):
        example = make_record_example(item.number)
        if self._source == "photos":
            return dataclasses.replace(example, source="photos", person=str(item.number), crop=UNMOVED)
        code = np.full(257, item.number, np.float32)
        return dataclasses.replace(
            example,
            source="synthetic",
            person="",
            crop=UNMOVED,
            code=code,
            window=example.window[:240, :240],
            valid=np.ones((240, 240), bool),
        )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return DataConfig(**{field: make(tmp_path_factory.mktemp(field), field) for field in ("synthetic", "photos")})


def stage_of(synthetic, photos):
    return StageConfig(OptimizerConfig({}), 1, synthetic, photos)


def make(folder, source, count=40):
    about = {"sources": [{"name": source, "layout": source, "weight": 1.0, "input": "", "where": "", "terms": ""}]}
    build(folder, [Number(f"{source}/{k}", source, k) for k in range(count)], Make(source), about=about, workers=1)
    return str(folder)


def test_renders_come_first_and_carry_their_codes(data):
    batch = StageBatches(data, stage_of(3, 5), 0).batch(7)
    assert batch["has_code"].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert len(set(batch["code"][:3, 0])) == 3 and not batch["code"][3:].any()
    again = StageBatches(data, stage_of(3, 5), 0).batch(7)
    assert all((batch[name] == again[name]).all() for name in batch)


def test_synthetic_faces_can_stand_in_for_photos(data):
    data = DataConfig(synthetic=data.synthetic, photos=data.synthetic)
    batch = StageBatches(data, stage_of(2, 3), 0).batch(0)
    assert len(batch["crop"]) == 5 and batch["is_face"].all()
    assert len({float(row[0, 0]) for row in batch["landmarks"][2:]}) == 3
    assert validation_batch(data, "photos", 2) is None  # none are held out of them


def test_the_shapes_are_told_without_data(data):
    batch = StageBatches(data, stage_of(2, 3), 0).batch(0)
    told = batch_shapes(5, 257)
    assert {name: (column.shape, column.dtype) for name, column in batch.items()} == {
        name: (shape.shape, shape.dtype) for name, shape in told.items()
    }


def test_validation_is_the_other_people(data):
    batch = validation_batch(data, "photos", 6)
    assert batch["is_face"].all() and len(batch["crop"]) == 6
    assert validation_batch(DataConfig(), "synthetic", 6) is None


def test_cards_are_copied_and_changes_told(data, tmp_path):
    assert copy_cards(data, tmp_path) == []
    card = json.loads((tmp_path / "photos.corpus.json").read_text())
    assert card["examples"] == 40 and card["sha256"]
    assert copy_cards(data, tmp_path) == []
    other = DataConfig(photos=make(tmp_path / "other", "photos", count=8))
    (line,) = copy_cards(other, tmp_path)
    assert line.startswith(f"photos: corpus {card['sha256'][:12]} → ")


def test_photos_cannot_stand_in_for_renders(data):
    swapped = DataConfig(synthetic=data.photos)
    with pytest.raises(InputError, match="--config.data.synthetic=.*: a corpus of photos, whose codes are not known"):
        StageBatches(swapped, stage_of(2, 0), 0)


def test_missing_folders_are_told(tmp_path):
    with pytest.raises(InputError, match="--config.data.photos=/nowhere: no such folder; make one with: fml-prepare"):
        copy_cards(DataConfig(photos="/nowhere"), tmp_path)
