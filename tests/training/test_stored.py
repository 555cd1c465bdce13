"""Stored batches: the same run as with new answers, kept and shared files, and what cannot be stored."""

from dataclasses import replace
from unittest import mock

import jax
import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.networks.weights import load_weights
from fml_jax.training import stages, stored
from fml_jax.training.config import run_config
from fml_jax.training.outputs import RunOutputs
from tests.training import stub


def settings(**stage):
    """Three steps of the final level upon a constant encoder."""
    config = stub.small_settings(steps=(3,), levels=["full"])
    config.stages.stage0.optimizer.groups = stub.two_rates(0.0, 1e-3)
    config.stages.stage0.update(stage)
    return config


def parameters(workdir):
    return jax.tree.leaves(load_weights(workdir / "weights.npz")[0])


def test_stored_answers_train_as_new_ones(tmp_path):
    stub.run(run_config(settings(stored=1)), tmp_path / "stored")
    first = stub.StubBatches.batch
    with mock.patch.object(stub.StubBatches, "batch", lambda self, step: first(self, 0)):
        stub.run(run_config(settings()), tmp_path / "new")
    for one, other in zip(parameters(tmp_path / "stored"), parameters(tmp_path / "new"), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=5e-5)  # three steps of Adam move 3e-3


def test_each_batch_is_made_once_and_runs_share_them(tmp_path):
    stub.run(run_config(settings()), tmp_path / "first")
    weights, made, first = str(tmp_path / "first/weights.npz"), [], stub.StubBatches.batch

    def counted(self, step):
        made.append(step)
        return first(self, step)

    # The statistics that are written at the end are of further batches.
    without_end = mock.patch.object(RunOutputs, "write_weights", return_value=tmp_path)
    with mock.patch.object(stub.StubBatches, "batch", counted), without_end:
        for seed in (0, 1):
            config = replace(run_config(settings(stored=2, steps=5)), seed=seed, start_from=weights)
            stub.run(replace(config, answers=str(tmp_path / "shared")), tmp_path / f"run{seed}")
    assert sorted(made) == [0, 1]
    assert len(list((tmp_path / "shared").glob("*/*.npz"))) == 2


def test_batches_are_drawn_in_another_order_each_time_around(tmp_path):
    drawn = []
    whole = stages.StoredBatches.batch

    def noted(self, step):
        batch = whole(self, step)
        drawn.append(float(batch["code"].sum()))
        return batch

    with mock.patch.object(stages.StoredBatches, "batch", noted):
        stub.run(run_config(settings(stored=4, steps=24)), tmp_path)
    rounds = [tuple(drawn[k : k + 4]) for k in range(0, 24, 4)]
    assert len({frozenset(each) for each in rounds}) == 1 and len(set(rounds)) > 2


def test_other_answers_have_another_folder(tmp_path):
    config = run_config(settings(stored=1))
    stage = config.stages["stage0"]

    def folder(**changed):
        return stored.stored_folder(replace(config, **changed), stage, tmp_path)

    assert folder(seed=3) != folder()  # of the encoder that the seed draws
    assert folder(masks=False) != folder()
    weights = tmp_path / "weights"
    weights.write_bytes(b"1")
    before = folder(start_from=str(weights))
    assert folder(start_from=str(weights), seed=3) == before
    weights.write_bytes(b"2")
    assert folder(start_from=str(weights)) != before


def test_answers_of_an_encoder_that_is_trained_are_refused():
    config = settings(stored=1)
    config.stages.stage0.optimizer.groups = stub.two_rates(1e-4, 1e-3)
    with pytest.raises(InputError, match="stages.stage0.stored=1: stored answers are those of a constant encoder"):
        run_config(config)
