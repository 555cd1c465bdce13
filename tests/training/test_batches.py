"""Batches of a stage: which rows come from where, and what shapes they have."""

import json

import numpy as np
import pytest

from experiments.configs.common import defaults, stage
from fml_jax.codes import CODE_SIZE
from fml_jax.training.batches import StageBatches, batch_shapes, validation_batch

COUNT = 6


@pytest.fixture
def config(tmp_path):
    """Of a folder of grey synthetic faces, each of its own landmarks, named for synthetic faces and for photos."""
    landmarks = np.arange(COUNT, dtype=np.float32)[:, None, None] + np.full((COUNT, 68, 2), 100, np.float32)
    arrays = {
        "crops": np.full((COUNT, 240, 240, 3), 128, np.uint8),
        "codes": np.ones((COUNT, CODE_SIZE), np.float32),
        "landmarks": landmarks,
        "done": np.ones(COUNT, bool),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "recipe.json").write_text(json.dumps({"count": COUNT}))
    config = defaults()
    config.data.update(synthetic=str(tmp_path), photos=str(tmp_path))
    return config.to_dict()


def test_synthetic_faces_can_stand_in_for_photos(config):
    batch = StageBatches(config, stage(steps=1, synthetic=2, photos=3, rate=0.1).to_dict()).batch(0)
    assert len(batch["crop"]) == 5 and batch["is_face"].all()
    assert len({float(row[0, 0]) for row in batch["landmarks"][2:]}) == 3
    assert validation_batch(config, "photos", 2) is None  # none are held out of them


def test_the_shapes_are_told_without_data(config):
    batch = StageBatches(config, stage(steps=1, synthetic=2, photos=3, rate=0.1).to_dict()).batch(0)
    told = batch_shapes(5, CODE_SIZE)
    assert {name: (column.shape, column.dtype) for name, column in batch.items()} == {
        name: (shape.shape, shape.dtype) for name, shape in told.items()
    }
