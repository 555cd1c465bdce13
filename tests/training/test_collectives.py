"""What is read out of XLA's programs, in each of the ways that it writes them; and the command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jax.sharding import AbstractMesh

from fml_jax.training.collectives import Collective, collectives

ROOT = Path(__file__).parents[2]


@pytest.fixture
def mesh():
    return AbstractMesh((4, 2), ("data", "model"))


@pytest.mark.parametrize(
    "groups, axis",
    [
        ("{{0,1},{2,3},{4,5},{6,7}}", "model"),
        ("{{0,2,4,6},{1,3,5,7}}", "data"),
        ("[4,2]<=[8]", "model"),
        ("[2,4]<=[4,2]T(1,0)", "data"),
        ("[1,8]<=[8]", "data and model"),
        ("mesh['axis_0'=4,'axis_1'=2] {'axis_1'}", "model"),
        ("mesh['axis_0'=4,'axis_1'=1,'axis_2'=2] {'axis_0'}", "data"),
        ("mesh['axis_0'=2,'axis_1'=4], device_ids=([4,2]T(1,0)) {'axis_0'}", "model"),
        ("mesh['axis_0'=4,'axis_1'=2] {'axis_0','axis_1'}", "data and model"),
    ],
)
def test_groups_of_devices_are_axes_of_the_mesh(mesh, groups, axis):
    line = f"  %all-reduce.3 = f32[10,3]{{1,0}} all-reduce(%x), channel_id=1, replica_groups={groups}, to_apply=%add"
    assert collectives(line, mesh) == [Collective("all-reduce", axis, 120)]


def test_bytes_are_those_of_all_results(mesh):
    program = """
      %fusion.1 = f32[4]{0} fusion(%a), calls=%all-reduce.7
    %all-reduce.9 = (f32[], bf16[8,2]{1,0}, /*index=2*/u8[5]{0}, pred[3]{0}) all-reduce(%a), replica_groups=[4,2]<=[8]
      %all-gather-start.1 = (f32[2]{0}, f32[4]{0}) all-gather-start(%a), replica_groups=[4,2]<=[8], dimensions={0}
      %all-gather-done.1 = f32[4]{0} all-gather-done(%all-gather-start.1)
      ROOT %collective-permute.2 = f32[6]{0} collective-permute(%a), source_target_pairs={{0,1},{1,0}}
    """
    found = [(found.kind, found.bytes) for found in collectives(program, mesh)]
    assert found == [("all-reduce", 4 + 32 + 5 + 3), ("all-gather", 16), ("collective-permute", 24)]


PROGRAM = """
import json

import jax

jax.config.update("jax_num_cpu_devices", 4)

from fml_jax.face_model.correctives import Correctives
from fml_jax.networks.multilevel import Network
from fml_jax.training import low_rank_gradients as factors
from fml_jax.training.collectives import collectives, compile_stage
from fml_jax.training.sharding import bytes_per_device, make_mesh
from tests.tiny_face import make_tiny_model
from tests.training import stub

factors._LARGE = 0
told = {}
for optimizer in ("adam", "adadelta"):
    stage = stub.small_config(steps=(1,), levels=["full"], rows=(0, 8), optimizer=optimizer).stages["stage0"]
    for model_devices in (1, 2):
        mesh = make_mesh(model_devices)
        network = Network(stub.LinearEncoder(41), Correctives(81), (8, 8), mesh)
        compiled, state = compile_stage(network, make_tiny_model(), stage, seed=0, mesh=mesh)
        told[f"{optimizer} {model_devices}"] = bytes_per_device(state), collectives(compiled.as_text(), mesh)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def compiled_stubs():
    """Of an optimizer and a number of model devices: bytes that a device holds, and the exchanges."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, check=True, capture_output=True, text=True)
    told = json.loads(done.stdout)
    return {name: (held, [Collective(*each) for each in found]) for name, (held, found) in told.items()}


@pytest.mark.parametrize("model_devices", [1, 2])
def test_a_step_with_factors_exchanges_their_rows_and_no_matrix(compiled_stubs, model_devices):
    _, exchanged = compiled_stubs[f"adadelta {model_devices}"]
    space = 8 * 81 * 3 * 4 // model_devices  # bytes of one space's modes that a device holds
    factors = 8 * 81 * 3 * 4  # bytes of what eight rows ask of one space: as many as its modes, here
    over_data = [e for e in exchanged if e.axis == "data"]
    assert sum(e.bytes for e in over_data if e.kind == "all-reduce") < space
    gathered = [e for e in over_data if e.kind == "all-gather" and e.bytes >= factors]
    assert [e.bytes for e in gathered] == [factors] * 2
    over_model = [e for e in exchanged if e.axis == "model"]
    assert not [e for e in over_model if e.kind == "all-gather" and e.bytes >= space]
    corrections = (model_devices > 1) * 2 * 4 * 81 * 3 * 4  # F_g and F_r of the four rows of a device
    assert (
        corrections <= sum(e.bytes for e in over_model if large_sum(e)) < corrections + 1000
    )  # and small things beside them


def test_a_step_sums_gradients_over_data_and_corrections_over_model(compiled_stubs):
    held, exchanged = {}, {}
    for model_devices in (1, 2):
        held[model_devices], exchanged[model_devices] = compiled_stubs[f"adam {model_devices}"]
    modes = 2 * 8 * 81 * 3 * 4  # bytes of M_g and M_r
    # Parameters, their average, and Adam's two moments: half of the modes' share has gone.
    assert held[1] - held[2] == 4 * modes // 2
    sums = {count: {e.axis: e.bytes for e in found if large_sum(e)} for count, found in exchanged.items()}
    assert set(sums[1]) == {"data"} and set(sums[2]) == {"data", "model"}
    assert sums[1]["data"] - sums[2]["data"] == pytest.approx(modes / 2, rel=0.05)
    assert sums[2]["model"] == 2 * 4 * 81 * 3 * 4  # F_g and F_r of the four rows of a device
    # No crop travels: everything else is small.
    rest = [e for e in exchanged[2] if e.kind != "all-reduce"]
    assert sum(e.bytes for e in rest) < 10_000


def large_sum(exchange):
    return exchange.kind == "all-reduce" and exchange.bytes > 1000


def command(*arguments):
    quick = [sys.executable, "-m", "experiments.collectives", "--config=experiments/configs/quick.py", "--devices=2"]
    return subprocess.run([*quick, *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_the_command_prints_a_table_a_stage():
    done = command()
    assert done.returncode == 0 and "stage synthetic, 2 × 1 devices" in done.stdout
    assert "| all-reduce | data | 1 |" in done.stdout and "MB a device" in done.stdout


@pytest.mark.parametrize(
    "argument, said",
    [
        ("--stage=last", "--stage=last: unknown; choose one of synthetic"),
        ("--config.stages.synthetic.synthetic=3", "a batch of 3 rows"),
    ],
)
def test_what_cannot_be_compiled_is_told(argument, said):
    done = command(argument)
    assert done.returncode == 1 and said in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
