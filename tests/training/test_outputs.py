"""What a run writes: when it may, what it refuses, and what it leaves alone."""

import json

import numpy as np
import pytest
from jax import numpy as jnp

from fml_jax.errors import InputError
from fml_jax.networks.multilevel import Network
from fml_jax.networks.weights import load_weights
from fml_jax.training.checkpoints import UNKNOWN, HeldOut
from fml_jax.training.config import as_dict
from fml_jax.training.held_out import LOSS
from fml_jax.training.metrics import read_metrics
from fml_jax.training.outputs import RunOutputs
from fml_jax.training.sharding import make_mesh
from fml_jax.training.step import TrainState
from tests.training import stub


def state_at(step, value=0.0):
    """A state of one layer."""
    params = {"encoder": {"code": {"kernel": jnp.full((2, 3), value), "bias": jnp.zeros(3)}}}
    return TrainState(jnp.int32(step), params, None, ())


@pytest.fixture
def opened(tmp_path, tiny_model):
    """Opens the workdir for a config, as each start of a run does."""
    every, network = [], Network(stub.LinearEncoder(41))

    def opened(config):
        every.append(RunOutputs(config, tmp_path, network=network, model=tiny_model, mesh=make_mesh(1)))
        return every[-1]

    yield opened
    for each in every:
        each.close()


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_start_changes_nothing_before_it_begins(opened, tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    before = files(tmp_path)
    outputs = opened(stub.small_config())
    outputs.check_continues()
    assert outputs.done == 0 and files(tmp_path) == before


def test_beginning_writes_the_config_and_opens_the_metrics(opened, tmp_path):
    config = stub.small_config()
    outputs = opened(config)
    outputs.begin(0)
    outputs.begin(0)  # of the next stage
    outputs.write_metrics(1, {"loss": 2.0, "rows": {"energy": np.zeros(4)}}, images_per_second=8.0, wait=0.25)
    assert json.loads((tmp_path / "config.json").read_text()) == json.loads(json.dumps(as_dict(config)))
    (row,) = read_metrics(tmp_path)
    assert row.pop("seconds") > 0 and row == {"step": 1, "loss": 2.0, "images_per_second": 8.0, "wait": 0.25}


def test_values_on_held_out_faces_are_rows_of_their_own(opened, tmp_path):
    outputs = opened(stub.small_config(steps=(3, 3)))
    outputs.begin(0)
    found = outputs.evaluate(4, state_at(4), evaluator=lambda params, stage: {LOSS: 0.5, "a": 1.0}, stage="stage1")
    none = outputs.evaluate(5, state_at(5), evaluator=lambda params, stage: {}, stage="stage1")
    assert (found, none) == (HeldOut(stage=1, loss=0.5), UNKNOWN)
    assert read_metrics(tmp_path) == [{"step": 4, "validation": 1.0, LOSS: 0.5, "a": 1.0}]


def test_the_best_is_the_lowest_loss_of_the_latest_stage(opened):
    outputs = opened(stub.small_config())
    assert outputs.is_best(HeldOut(0, 9.0))
    outputs.save_checkpoint(state_at(1), HeldOut(0, 2.0))
    assert [outputs.is_best(each) for each in (HeldOut(0, 3.0), HeldOut(0, 1.0), HeldOut(1, 9.0), UNKNOWN)] == [
        False,
        True,
        True,
        False,
    ]


def test_weights_tell_what_they_were_trained_on(opened, tmp_path):
    config = stub.small_config(data={"synthetic": "corpora/renders", "photos": "", "synthetic_validation": ""})
    path = opened(config).write_weights(state_at(7, 3.0), batch=lambda step: {})
    params, metadata = load_weights(path)
    assert path == tmp_path / "weights.npz" and not (tmp_path / "face_model.npz").exists()
    np.testing.assert_array_equal(params["code"]["kernel"], 3.0)
    assert metadata.pop("format_version") and metadata == {
        "encoder": "light",
        "model": "tiny",
        "steps": 7,
        "data": {"synthetic": "renders"},
    }


def test_weights_without_a_checkpoint_are_not_replaced(opened, tmp_path):
    """Of a finished run, say, whose checkpoints were removed to make room."""
    outputs = opened(stub.small_config())
    path = outputs.write_weights(state_at(7, 3.0), batch=lambda step: {})
    with pytest.raises(InputError, match="weights.npz: of a run without a checkpoint to continue from, .* choose "):
        outputs.check_continues()
    outputs.save_checkpoint(state_at(7), UNKNOWN)
    outputs.check_continues()
    assert path.exists()
