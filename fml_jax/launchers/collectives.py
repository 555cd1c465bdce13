r"""Lists the data that devices exchange in a training step: the number of exchanges and of bytes.

    fml-collectives --config=paper --stage=full \
        --config.stages.full.photos=10 --devices=8 --config.model_devices=4

The step of one stage, or of each, is compiled and not run: neither data nor the devices are needed. Bytes are those
of an exchange's result on one device. The state is the part of the parameters, their average and the optimizer's
statistics that one device holds. The workspace is XLA's estimate of the further memory of a step.
"""

from collections import defaultdict
from typing import TYPE_CHECKING

import jax
from absl import flags

from fml_jax.errors import InputError
from fml_jax.launchers.command_line import define_face_model_flag, run_launcher
from fml_jax.launchers.config_flag import define_config_flag, parse_with_config, with_face_model

if TYPE_CHECKING:
    from fml_jax.training.config import RunConfig

_FLAGS = flags.FlagValues()
_CONFIG = define_config_flag(_FLAGS)
_DEVICES = flags.DEFINE_integer(
    "devices", 0, "Number of virtual CPU devices; 0 is the devices of the machine.", lower_bound=0, flag_values=_FLAGS
)
_FACE_MODEL = define_face_model_flag(_FLAGS)
_STAGE = flags.DEFINE_string("stage", None, "One stage of the config; without it, all of them.", flag_values=_FLAGS)


def main() -> None:
    """Prints the tables."""
    if _DEVICES.value:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", _DEVICES.value)
    from fml_jax.training.config import run_config

    report(run_config(with_face_model(_CONFIG.value, _FACE_MODEL.value)))


def report(config: "RunConfig") -> None:
    """Prints a table for the chosen stages."""
    from fml_jax.evaluation.tables import markdown
    from fml_jax.face_model.files import load_face_model
    from fml_jax.networks.multilevel import make_network
    from fml_jax.training.collectives import collectives, compile_stage
    from fml_jax.training.sharding import bytes_per_device, check_rows, make_mesh

    model = load_face_model(config.model or None, config.detail)
    mesh = make_mesh(config.model_devices)
    network = make_network(config.encoder, config.correctives, model, mesh=mesh)
    for name in [_STAGE.value] if _STAGE.value else config.stage_order:
        if name not in config.stages:
            raise InputError(f"--stage={name}: unknown; choose one of {', '.join(config.stages)}")
        check_rows(name, config.stages[name], mesh)
        compiled, state = compile_stage(network, model, config.stages[name], seed=config.seed, mesh=mesh)
        sums = defaultdict(list)
        for exchange in collectives(compiled.as_text(), mesh):
            sums[exchange.kind, exchange.axis].append(exchange.bytes)
        rows = [(kind, axis, len(sizes), megabytes(sum(sizes))) for (kind, axis), sizes in sorted(sums.items())]
        print(f"\nstage {name}, {mesh.shape['data']} × {mesh.shape['model']} devices (data × model)\n")
        print(markdown(["exchange", "axis", "how many", "MB"], rows))
        workspace = compiled.memory_analysis().temp_size_in_bytes
        print(f"\nstate {megabytes(bytes_per_device(state))} MB a device, workspace {megabytes(workspace)} MB")


def megabytes(size: int) -> str:
    """A number of bytes in MB."""
    return f"{size / 1e6:.3f}"


def run() -> None:
    """The command `fml-collectives`."""
    run_launcher(main, _FLAGS, parse_with_config)
