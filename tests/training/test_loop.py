"""Runs that are killed, stopped and changed."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.face_model import load_learned_model
from fml_jax.networks.multilevel import CorrectivesConfig
from fml_jax.networks.weights import load_weights
from fml_jax.training.checkpoints import Checkpoints, HeldOut
from fml_jax.training.config import run_config
from fml_jax.training.held_out import LOSS, Evaluator
from fml_jax.training.metrics import read_metrics
from fml_jax.training.outputs import MODEL_FILE, WEIGHTS_FILE
from tests.training import stub

ROOT = Path(__file__).parents[2]
BOTH_LEVELS = {"steps": (40, 30), "levels": ["base", "full"]}
BASE_LEVEL = {"steps": (40,), "levels": ["base"]}


def losses(workdir):
    return [row["loss"] for row in read_metrics(workdir) if "loss" in row]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    stub.run(stub.small_config(**BOTH_LEVELS), workdir)
    return workdir


def test_a_run_learns_and_writes_its_weights(uninterrupted):
    found = losses(uninterrupted)
    assert len(found) == 70
    assert np.mean(found[30:40]) < 0.9 * np.mean(found[:10]) and np.mean(found[-10:]) < 0.9 * np.mean(found[40:50])
    params, metadata = load_weights(uninterrupted / WEIGHTS_FILE)
    assert (
        set(params) == {"hidden", "code", "score", "final", "correctives", "delta"}
        and metadata["steps"] == 70
        and metadata["model"] == "tiny"
    )
    assert not (uninterrupted / "sheets").exists()  # which the stub's config does not ask for


def test_the_learned_model_is_taken_out(uninterrupted):
    model = load_learned_model(uninterrupted / MODEL_FILE)
    assert model.base.name == "tiny" and model.sizes == (8, 8)
    assert np.isfinite(model.delta_factor).all() and np.abs(model.delta_factor).max() > 0
    assert model.correctives["geometry"]["modes"].shape == (8, 3 * 81)
    assert np.abs(model.correctives["geometry"]["offset"]).max() > 0  # it began at zero


def test_metrics_tell_terms_and_speed(uninterrupted):
    first, *_, last = read_metrics(uninterrupted)
    assert {"photos/sparse", "photos/photo", "synthetic/identity", "score", "images_per_second", "wait"} <= first.keys()
    full = {"sparse", "photo_base", "photo_final", "std", "smo", "ref", "glo", "sta"}
    assert {f"photos/{name}" for name in full} | {"synthetic/identity", "score"} <= last.keys()
    assert 0 <= last["wait"] <= 1


def test_norms_of_gradients_are_told_every_so_many_steps(tmp_path):
    stub.run(stub.small_config(steps=(6,), levels=["full"], gradient_norms_every=3), tmp_path)
    told = [row["step"] for row in read_metrics(tmp_path) if "gradient/photos/smo/correctives" in row]
    assert told == [3, 6]


def test_the_best_checkpoint_is_kept_beside_the_newest(tmp_path):
    """Of the last stage, by its loss on held-out faces, whenever it was; its weights are written too."""
    told = iter([5.0, 0.1, 9.0, 2.0, 3.0, 4.0, 4.0])  # two evaluations of the first stage, then five of the second

    def values(evaluator, params, stage):
        return {LOSS: next(told)}

    config = stub.small_config(steps=(4, 10), checkpoint_every=5, evaluate_every=2, keep_checkpoints=1)
    with mock.patch.object(Evaluator, "__call__", values):
        path = stub.run(config, tmp_path)

    assert Checkpoints(tmp_path).best() == (8, HeldOut(stage=1, loss=2.0)) and not list(told)
    assert sorted(int(folder.name) for folder in (tmp_path / "checkpoints").iterdir()) == [8, 14]
    (last, about), (best, about_best) = load_weights(path), load_weights(tmp_path / f"best_{WEIGHTS_FILE}")
    assert (about["steps"], about_best["steps"]) == (14, 8)
    assert np.abs(last["hidden"]["kernel"] - best["hidden"]["kernel"]).max() > 0


def test_held_out_loss_is_the_stages_own(tmp_path):
    config = stub.small_config(**BOTH_LEVELS | {"steps": (4, 3)})
    stub.run(config, tmp_path, stub.held_out_rows)
    for row in [row for row in read_metrics(tmp_path) if LOSS in row]:
        parts = row["synthetic/supervised"], row["photos/loss"]
        assert row[LOSS] == pytest.approx(np.mean(parts)) and parts[0] != pytest.approx(parts[1])
    assert not (tmp_path / f"best_{WEIGHTS_FILE}").exists()  # the end was best, or nothing better was kept


@pytest.mark.slow
def test_killed_at_random_steps_it_resumes_to_the_same_losses(uninterrupted, tmp_path):
    """SIGKILL three times, wherever the run is by then, in either stage."""
    rng = random.Random(int.from_bytes(os.urandom(4), "big"))
    kills = 0
    for _ in range(20):
        process = start(tmp_path)
        # The first steps wait for compilation: kill by progress seen in the metrics file.
        goal = written_steps(tmp_path) + rng.randint(3, 25)
        while kills < 3 and process.poll() is None and written_steps(tmp_path) < goal:
            time.sleep(0.01)
        if kills < 3 and process.poll() is None:
            process.kill()
            kills += 1
        if process.wait(timeout=120) == 0:
            break
    assert kills >= 1
    np.testing.assert_allclose(losses(tmp_path), losses(uninterrupted), rtol=1e-5)


def test_after_a_kill_the_metrics_hold_each_step_once(uninterrupted, tmp_path):
    """Rows after the last checkpoint are removed, and so is a line that the kill cut off."""
    process = start(tmp_path, checkpoint_every=7)
    wait_for_steps(process, tmp_path, 9)
    process.kill()
    process.wait(timeout=60)
    path = tmp_path / "metrics.jsonl"
    with path.open("a") as file:
        file.write('{"step": 12, "lo')
    killed_at, done = len(losses(tmp_path)), Checkpoints(tmp_path).latest_step()
    assert done < killed_at < 70
    stub.run(stub.small_config(**BOTH_LEVELS, checkpoint_every=7), tmp_path)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == list(range(1, 71))
    np.testing.assert_allclose(losses(tmp_path), losses(uninterrupted), rtol=1e-5)


def start(workdir, data_workers=0, **others):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.stub", str(workdir), json.dumps({**BOTH_LEVELS, **others})],
        cwd=ROOT,
        env={**os.environ, "STUB_DATA_WORKERS": str(data_workers)},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def written_steps(workdir):
    try:
        return len(read_metrics(workdir))
    except FileNotFoundError:  # not yet, or just removed by a run that begins anew
        return 0


def wait_for_steps(process, workdir, steps=3):
    while written_steps(workdir) < steps:
        assert process.poll() is None
        time.sleep(0.01)


@pytest.mark.parametrize("data_workers", [0, 2])
def test_sigterm_to_all_processes_saves_and_exits_with_status_0(tmp_path, data_workers):
    process = start(tmp_path, data_workers, **BASE_LEVEL)
    wait_for_steps(process, tmp_path)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 0

    assert Checkpoints(tmp_path).latest_step() == len(losses(tmp_path)) < 40


def test_workers_leave_signals_to_the_run(tmp_path):
    process = start(tmp_path, data_workers=2, **BASE_LEVEL)
    for sent, steps in ((signal.SIGTERM, 3), (signal.SIGINT, 6)):
        wait_for_steps(process, tmp_path, steps)
        workers = set(processes_of_group(process.pid)) - {str(process.pid)}
        assert len(workers) >= 2
        for worker in workers:
            os.kill(int(worker), sent)
    assert process.wait(timeout=120) == 0 and len(losses(tmp_path)) == 40


def test_workers_make_the_same_batches_and_end_with_the_run(uninterrupted, tmp_path):
    stub.run(stub.small_config(**BOTH_LEVELS), tmp_path, data_workers=2)
    np.testing.assert_array_equal(losses(tmp_path), losses(uninterrupted))
    assert not multiprocessing.active_children()


def test_workers_end_when_the_run_is_killed(tmp_path):
    process = start(tmp_path, data_workers=2, levels=["base"], steps=(2000,))
    wait_for_steps(process, tmp_path)
    assert len(processes_of_group(process.pid)) >= 3
    process.kill()
    process.wait(timeout=60)
    deadline = time.monotonic() + 60
    while processes_of_group(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_of_group(process.pid)


def processes_of_group(group):
    return subprocess.run(["pgrep", "-g", str(group)], capture_output=True, text=True).stdout.split()


@pytest.fixture(scope="module")
def base_and_full(tmp_path_factory):
    """Two finished runs of two steps, of the base level and of both."""
    workdirs = {level: tmp_path_factory.mktemp(level) for level in ("base", "full")}
    for level, workdir in workdirs.items():
        stub.run(stub.small_config(steps=(2,), levels=[level]), workdir)
    return workdirs


@pytest.fixture
def two_steps(base_and_full, tmp_path):
    """A copy of the run of the base level."""
    return shutil.copytree(base_and_full["base"], tmp_path / "two_steps")


def test_a_changed_config_is_told(two_steps, caplog):
    settings = stub.small_settings(steps=(4,))
    settings.stages.stage0.score = 7.0
    changed = run_config(settings)
    with caplog.at_level("WARNING", logger="absl"):
        stub.run(changed, two_steps)
    assert "stages.stage0.score: 5.0 → 7.0" in caplog.text and "stages.stage0.steps: 2 → 4" in caplog.text
    assert len(losses(two_steps)) == 4
    assert json.loads((two_steps / "config.json").read_text())["stages"]["stage0"]["score"] == 7.0


def test_a_config_that_ends_before_the_checkpoint_is_refused(two_steps):
    with pytest.raises(InputError, match="checkpoint is at step 2, this config ends at 1"):
        stub.run(stub.small_config(steps=(1,)), two_steps)


@pytest.mark.parametrize(
    "field, value",
    [
        ("correctives", CorrectivesConfig("relu1", 8, 8)),
        ("correctives", CorrectivesConfig("linear", 8, 8, "beyond")),
        ("encoder", "alexnet"),
        ("detail", "fine"),
    ],
)
def test_a_run_of_another_network_is_refused_and_left_alone(base_and_full, field, value):
    workdir = base_and_full["full"]
    before = (workdir / "config.json").read_text()
    longer = replace(stub.small_config(steps=(4,), levels=["full"]), **{field: value})
    with pytest.raises(InputError, match=f"its checkpoint has another network .{field}"):
        stub.run(longer, workdir)
    assert (workdir / "config.json").read_text() == before


def test_a_run_of_another_optimizer_is_refused_and_left_alone(two_steps):
    before = (two_steps / "config.json").read_text()
    settings = stub.small_settings(steps=(4,))
    settings.stages.stage0.optimizer.name = "adadelta"
    with pytest.raises(InputError, match="the checkpoint of step 2 does not fit this config"):
        stub.run(run_config(settings), two_steps)
    assert (two_steps / "config.json").read_text() == before


def test_a_finished_run_keeps_its_config(two_steps, caplog):
    before = (two_steps / "config.json").read_text()
    with caplog.at_level("WARNING", logger="absl"):
        stub.run(stub.small_config(steps=(2,), seed=7), two_steps)
    assert "seed: 0 → 7" in caplog.text and "nothing is trained" in caplog.text
    assert (two_steps / "config.json").read_text() == before


def test_a_batch_without_faces_changes_nothing_but_the_score(tmp_path):
    class Empty(stub.StubBatches):
        def batch(self, step):
            batch = super().batch(step)
            return {**batch, "is_face": 0 * batch["is_face"]}

    with mock.patch.object(stub, "StubBatches", Empty):
        stub.run(stub.small_config(steps=(2,), rows=(0, 4)), tmp_path)
    for row in read_metrics(tmp_path):
        assert np.isfinite(row["loss"]) and row["photos/sparse"] == 0 and row["loss"] == pytest.approx(5 * row["score"])


def test_a_finished_run_stays_finished(uninterrupted):
    before = losses(uninterrupted)
    stub.run(stub.small_config(**BOTH_LEVELS), uninterrupted)
    assert losses(uninterrupted) == before


def test_a_cut_off_line_of_metrics_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert read_metrics(tmp_path) == [{"step": 1, "loss": 2.0}]
