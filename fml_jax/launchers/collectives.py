r"""Lists what the devices of a training step tell each other: how many exchanges, how many bytes.

    fml-collectives --config=paper --stage=full \
        --config.stages.full.photos=10 --devices=8 --config.model_devices=4

A stage's step (without --stage each one's) is compiled and not run: neither data nor as many devices are needed. Bytes are
those of an exchange's result on one device. The state is what one device holds of parameters, their
average and the optimizer's statistics; XLA's estimate of what the step needs beside it is the workspace.
"""

from collections import defaultdict

import jax
from absl import flags

from fml_jax.errors import InputError
from fml_jax.launchers.command_line import run_launcher
from fml_jax.launchers.config_flag import define_config_flag, parse_with_config

_FLAGS = flags.FlagValues()
_CONFIG = define_config_flag(_FLAGS)
_DEVICES = flags.DEFINE_integer(
    "devices", 0, "So many virtual CPU devices; 0 takes the machine's.", lower_bound=0, flag_values=_FLAGS
)
_STAGE = flags.DEFINE_string("stage", None, "One stage of the config; without it, all of them.", flag_values=_FLAGS)


def main() -> None:
    """Prints the tables."""
    if _DEVICES.value:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", _DEVICES.value)
    report(_CONFIG.value.to_dict())


def report(config: dict) -> None:
    """Prints a table for each stage asked for."""
    from fml_jax.evaluation.tables import markdown
    from fml_jax.face_model.files import load_face_model
    from fml_jax.networks.multilevel import make_network
    from fml_jax.training.collectives import collectives, compile_stage
    from fml_jax.training.sharding import bytes_per_device, check_rows, make_mesh

    model = load_face_model(config["model"] or None, config["detail"])
    mesh = make_mesh(config["model_devices"])
    network = make_network(config["encoder"], config["correctives"], model, mesh=mesh)
    for name in [_STAGE.value] if _STAGE.value else config["stage_order"]:
        if name not in config["stages"]:
            raise InputError(f"--stage={name}: the config has {', '.join(config['stages'])}")
        check_rows(name, config["stages"][name], mesh)
        compiled, state = compile_stage(network, model, config["stages"][name], config["seed"], mesh)
        sums = defaultdict(list)
        for exchange in collectives(compiled.as_text(), mesh):
            sums[exchange.kind, exchange.axis].append(exchange.bytes)
        rows = [(kind, axis, len(sizes), megabytes(sum(sizes))) for (kind, axis), sizes in sorted(sums.items())]
        print(f"\nstage {name}, {mesh.shape['data']} × {mesh.shape['model']} devices (data × model)\n")
        print(markdown(["exchange", "axis", "how many", "MB"], rows))
        workspace = compiled.memory_analysis().temp_size_in_bytes
        print(f"\nstate {megabytes(bytes_per_device(state))} MB a device, workspace {megabytes(workspace)} MB")


def megabytes(size: int) -> str:
    return f"{size / 1e6:.3f}"


def run() -> None:
    """The command `fml-collectives`."""
    run_launcher(main, _FLAGS, parse_with_config)
