"""Stored batches: the same run as with new answers, kept and shared files, and what cannot be stored."""

from dataclasses import replace
from unittest import mock

import jax
import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.networks.weights import load_weights
from fml_jax.training import stages
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


def folders(answers):
    return {path.name for path in answers.iterdir()}


def test_other_answers_have_another_folder(tmp_path):
    """By the parameters themselves: seeds draw other encoders here, and masks change what is answered."""
    found = []
    for number, (seed, masks) in enumerate([(0, True), (0, True), (3, True), (0, False)]):
        config = replace(
            run_config(settings(stored=1, steps=1)), answers=str(tmp_path / "shared"), seed=seed, masks=masks
        )
        stub.run(config, tmp_path / str(number))
        found.append(len(folders(tmp_path / "shared")))
    assert found == [1, 1, 2, 3]


def test_a_killed_run_goes_on_with_the_same_batches(tmp_path):
    whole = run_config(settings(stored=2, steps=7))
    stub.run(whole, tmp_path / "whole")
    steps = replace(whole.stages["stage0"], steps=5)
    first = replace(whole, stages={"stage0": steps})
    stub.run(replace(first, answers=str(tmp_path / "elsewhere")), tmp_path / "killed")
    (tmp_path / "killed/weights.npz").unlink()
    stub.run(replace(whole, answers=str(tmp_path / "elsewhere")), tmp_path / "killed")
    for one, other in zip(parameters(tmp_path / "whole"), parameters(tmp_path / "killed"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_damaged_file_is_named(tmp_path):
    config = run_config(settings(stored=1, steps=1))
    stub.run(config, tmp_path / "run")
    (path,) = (tmp_path / "run/answers").glob("*/*.npz")
    path.write_bytes(b"not an archive")
    with pytest.raises(InputError, match=r"00000.npz: is damaged; delete it"):
        stub.run(replace(config, answers=str(tmp_path / "run/answers")), tmp_path / "again")


def test_answers_of_an_encoder_that_is_trained_are_refused():
    config = settings(stored=1)
    config.stages.stage0.optimizer.groups = stub.two_rates(1e-4, 1e-3)
    with pytest.raises(InputError, match="stages.stage0.stored=1: stored answers are those of a constant encoder"):
        run_config(config)


def test_invariance_of_a_constant_encoder_is_refused():
    with pytest.raises(InputError, match="stages.stage0.invariance=1: it trains the base level"):
        run_config(settings(invariance=1.0, changed_photos=2))
