"""Trains an encoder.

    fml-train --config=quick --workdir=runs/quick

The config is a name among those in fml_jax/configs or a Python file. Its docstring describes what it trains, with
which data and for how long; any of its fields can be set here (--config.seed=3,
--config.stages.synthetic.steps=100). A workdir that holds checkpoints is continued. It gets metrics.jsonl, checkpoints/ and, at the end, weights.npz,
which fml_jax.Reconstructor(weights=...) and fml-reconstruct --weights=... read; and where
both levels were trained face_model.npz, which fml_jax.face_model.load_learned_model reads. The newest
checkpoints are kept, and the one with the lowest held-out loss; where that lies before the end, its
best_weights.npz and best_face_model.npz are written too.

What is compiled is kept in the user's cache, or in the folder that FML_COMPILATION_CACHE names (empty:
nowhere), so that the next start is quicker.

All devices of a machine take part. Several processes, which must share the workdir, are started with
the same command and --coordinator=auto where the cluster tells each its place (Slurm, Kubernetes, TPU
pods), else with --coordinator=HOST:PORT --processes=N --process=K.
"""

import sys
from pathlib import Path

from absl import flags

from fml_jax.errors import InputError
from fml_jax.launchers.command_line import run_launcher
from fml_jax.launchers.config_flag import define_config_flag, parse_with_config

_FLAGS = flags.FlagValues()
_CONFIG = define_config_flag(_FLAGS)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder for metrics, checkpoints and weights; continued if it has any.",
    required=True,
    flag_values=_FLAGS,
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "Of several processes: HOST:PORT of the first, or auto.", flag_values=_FLAGS
)
_PROCESSES = flags.DEFINE_integer(
    "processes", None, "How many there are, unless the cluster tells.", lower_bound=1, flag_values=_FLAGS
)
_PROCESS = flags.DEFINE_integer(
    "process", None, "Which of them this one is, from 0.", lower_bound=0, flag_values=_FLAGS
)
_DATA_WORKERS = flags.DEFINE_integer(
    "data_workers",
    None,
    "Worker processes that make batches (docs/devices.md); 0 is a thread. By default a thread on CPUs, beside a GPU a "
    "process a spare core, 15 at most.",
    lower_bound=0,
    flag_values=_FLAGS,
)


def main() -> None:
    """Trains."""
    from fml_jax.training.compilation_cache import keep_compiled_programs
    from fml_jax.training.host_memory import keep_freed_memory
    from fml_jax.training.loop import NonFiniteLoss, train

    keep_freed_memory()
    join_processes()
    keep_compiled_programs()
    try:
        weights = train(_CONFIG.value.to_dict(), Path(_WORKDIR.value), _DATA_WORKERS.value)
    except NonFiniteLoss as error:
        sys.exit(f"train: {error}")
    print(f"weights: {weights}")


def join_processes() -> None:
    """Meets the other processes of the run, where there are any."""
    import jax

    if _COORDINATOR.value == "auto":
        jax.distributed.initialize()
    elif _COORDINATOR.value:
        if _PROCESSES.value is None or _PROCESS.value is None:
            given = f"--coordinator={_COORDINATOR.value}"
            raise InputError(f"{given}: also give --processes=N and --process=K, or --coordinator=auto")
        jax.distributed.initialize(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)


def run() -> None:
    """The command `fml-train`."""
    run_launcher(main, _FLAGS, parse_with_config)
