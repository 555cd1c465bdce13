"""Whatever the devices and the processes: the same losses, and less to hold for each."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh

from fml_jax.errors import InputError
from fml_jax.face_model.correctives import Correctives
from fml_jax.networks.multilevel import Network
from fml_jax.training.checkpoints import Checkpoints
from fml_jax.training.low_rank_gradients import low_rank_rows
from fml_jax.training.metrics import read_metrics
from fml_jax.training.optimizers import make_optimizer
from fml_jax.training.sharding import bytes_per_device, make_mesh, state_shardings
from fml_jax.training.step import init_state
from tests.compiled_programs import xla_flags
from tests.training import stub

ROOT = Path(__file__).parents[2]

# Sums are taken in another order on other meshes; that is all that may differ.
TOLERANCE = 1e-5


def start(workdir, devices=1, model_devices=1, process=(), **config):
    """A run of both stages on virtual devices, as a program."""
    config = {"steps": [3, 4], "levels": ["base", "full"], "model_devices": model_devices, **config}
    environment = {
        **os.environ,
        "XLA_FLAGS": xla_flags(f"--xla_force_host_platform_device_count={devices}"),
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-m", "tests.training.stub", str(workdir), json.dumps(config), *map(str, process)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(*processes):
    for process in processes:
        _, said = process.communicate(timeout=180)
        assert process.returncode == 0, said.decode()[-2000:]


def losses(workdir):
    return [row["loss"] for row in read_metrics(workdir)]


@pytest.fixture(scope="module")
def on_one_device(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("one")
    finish(start(workdir))
    return losses(workdir)


def two_processes(workdir, **config):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    return [start(workdir, devices=2, model_devices=2, process=(address, 2, k), **config) for k in range(2)]


def test_the_losses_do_not_depend_on_the_devices(on_one_device, tmp_path):
    finish(start(tmp_path, devices=4, model_devices=2))
    assert len(on_one_device) == 7
    np.testing.assert_allclose(losses(tmp_path), on_one_device, rtol=TOLERANCE)


def test_the_losses_do_not_depend_on_the_devices_where_gradients_are_factors(tmp_path):
    factored = {"optimizer": "adadelta", "rows": [0, 8]}
    stages = stub.small_config(**{"steps": [3, 4], "levels": ["base", "full"], **factored}).stages
    assert all(low_rank_rows(stage) == 8 for stage in stages.values())
    finish(start(tmp_path / "one", **factored), start(tmp_path / "four", devices=4, model_devices=2, **factored))
    assert len(losses(tmp_path / "one")) == 7
    np.testing.assert_allclose(losses(tmp_path / "four"), losses(tmp_path / "one"), rtol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("devices, model_devices", [(2, 1), (2, 2), (4, 1), (8, 2), (8, 8)])
def test_the_losses_do_not_depend_on_the_mesh(on_one_device, tmp_path, devices, model_devices):
    finish(start(tmp_path, devices, model_devices))
    np.testing.assert_allclose(losses(tmp_path), on_one_device, rtol=TOLERANCE)


@pytest.mark.slow
def test_two_processes_train_as_one_and_a_checkpoint_fits_any_mesh(on_one_device, tmp_path):
    finish(*two_processes(tmp_path, steps=[3, 2], sheet_every=3))
    assert (tmp_path / "weights.npz").is_file() and len(list((tmp_path / "sheets").iterdir())) == 2
    finish(start(tmp_path, devices=4))  # goes on alone, to the end
    np.testing.assert_allclose(losses(tmp_path), on_one_device, rtol=TOLERANCE)


@pytest.mark.slow
def test_sigterm_to_one_process_stops_all_of_them_at_one_step(tmp_path):
    processes = two_processes(tmp_path, steps=[3, 5000], checkpoint_every=100_000)
    while not (tmp_path / "metrics.jsonl").exists() or len(losses(tmp_path)) < 5:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGTERM)
    finish(*processes)
    assert Checkpoints(tmp_path).latest_step() == len(losses(tmp_path)) < 5003


def shardings_of(model_devices, sizes=(8, 8)):
    network = Network(stub.LinearEncoder(41), Correctives(81), sizes)
    optimizer = make_optimizer(stub.small_config(levels=["full"]).stages["stage0"].optimizer, 1)
    shapes = jax.eval_shape(lambda: init_state(network, optimizer, 0))
    mesh = AbstractMesh((8 // model_devices, model_devices), ("data", "model"))
    places = state_shardings(mesh, shapes)
    return jax.tree.map(lambda shape, place: shape.update(sharding=place), shapes, places)


def test_a_device_holds_less_of_the_modes_the_more_share_them():
    held = {count: bytes_per_device(shardings_of(count)) for count in (1, 2, 4, 8)}
    modes = 4 * (8 + 8) * 81 * 3 * 4  # bytes: parameters, average and Adam's two moments, of both spaces
    for count, size in held.items():
        assert held[1] - size == modes - modes // count


def test_modes_that_cannot_be_shared_evenly_are_refused():
    with pytest.raises(InputError, match="6 corrective parameters.*model_devices=4"):
        shardings_of(4, sizes=(8, 6))


def test_devices_that_do_not_divide_are_refused():
    with pytest.raises(InputError, match="model axis"):
        make_mesh(model_devices=7)
