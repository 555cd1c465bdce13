"""The stages of a run: in their order, each with an optimizer of its own, resumed where they were left."""

from unittest import mock

import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.training import stages
from fml_jax.training.checkpoints import Checkpoints
from fml_jax.training.config import run_config
from fml_jax.training.metrics import read_metrics
from fml_jax.training.stages import NonFiniteLoss
from tests.training import stub

TWO_STAGES = {"levels": ["base", "full"]}


def losses(workdir):
    return [row["loss"] for row in read_metrics(workdir)]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    stub.run(stub.small_config(steps=(3, 4), **TWO_STAGES), workdir)
    return losses(workdir)


def test_stages_follow_the_configs_order(tmp_path):
    """Which is not the order in which they are written down."""
    settings = stub.small_settings(steps=(2, 3), **TWO_STAGES)
    settings.stage_order = ("stage1", "stage0")
    stub.run(run_config(settings), tmp_path)
    of_both_levels = ["photos/photo_final" in row for row in read_metrics(tmp_path)]
    assert of_both_levels == [True] * 3 + [False] * 2


@pytest.mark.parametrize("first", [(3,), (3, 2)], ids=["at the end of a stage", "within a stage"])
def test_a_run_continues_where_it_was_left(uninterrupted, tmp_path, first):
    levels = TWO_STAGES["levels"][: len(first)]
    settings = stub.small_settings(steps=first, levels=levels)
    whole = stub.small_settings(steps=(3, 4), **TWO_STAGES)
    settings.correctives, settings.stages.stage0 = whole.correctives, whole.stages.stage0
    stub.run(run_config(settings), tmp_path)
    assert Checkpoints(tmp_path).latest_step() == sum(first)

    stub.run(run_config(whole), tmp_path)
    assert [row["step"] for row in read_metrics(tmp_path)] == list(range(1, 8))
    np.testing.assert_allclose(losses(tmp_path), uninterrupted, rtol=1e-6)


def test_each_stage_begins_with_new_statistics_of_its_optimizer(tmp_path):
    """Adam's first steps have the length of its rate, its later ones do not."""
    stub.run(stub.small_config(steps=(6,)), tmp_path / "one")
    stub.run(stub.small_config(steps=(3, 3)), tmp_path / "two")
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    np.testing.assert_allclose(one[:4], two[:4], rtol=1e-6)  # the fourth is that of the parameters after three steps
    assert np.abs(np.array(one[4:]) / two[4:] - 1).max() > 1e-4


def poisoned(field, at):
    """Batches of which one row is not finite at one step."""

    class Poisoned(stub.StubBatches):
        def batch(self, step):
            batch = super().batch(step)
            if step == at:
                batch[field] = batch[field].astype(np.float32)
                batch[field][6] = np.nan
            return batch

    return mock.patch.object(stub, "StubBatches", Poisoned)


@pytest.mark.parametrize(
    "level, field, said",
    [
        ("base", "landmarks", "photos/sparse in rows [6]"),
        ("full", "mask", "photos/photo_base in rows [6], photos/photo_final in rows [6], photos/ref in rows [6]"),
    ],
)
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path, level, field, said):
    with poisoned(field, 8), pytest.raises(NonFiniteLoss) as error:
        stub.run(stub.small_config(steps=(12,), levels=[level]), tmp_path)
    assert str(error.value) == f"step 9: not finite: {said} of the batch; the checkpoint of step 5 is kept"
    assert Checkpoints(tmp_path).latest_step() == 5


def test_a_gradient_that_is_not_finite_stops_the_run_too(tmp_path):
    """The loss is finite; nothing was saved yet."""
    make = stages.make_train_step

    def made(*arguments, **others):
        step = make(*arguments, **others)

        def changed(state, model, batch):
            after, metrics = step(state, model, batch)
            norm = jnp.where(state.step == 1, jnp.inf, metrics["gradient_norm"])
            return after, {**metrics, "gradient_norm": norm}

        return changed

    with mock.patch.object(stages, "make_train_step", made), pytest.raises(NonFiniteLoss) as error:
        stub.run(stub.small_config(steps=(4,)), tmp_path)
    assert str(error.value) == "step 2: not finite: the gradient; no checkpoint was written yet"
    assert Checkpoints(tmp_path).latest_step() is None and len(losses(tmp_path)) == 1
