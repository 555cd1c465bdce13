"""Trains an encoder and, with a config of two levels, a face model.

    fml-train --config=quick --workdir=runs/quick

The config is the name of a file in fml_jax/configs, or a Python file. Its docstring describes the network, the
data and the duration. Each field can be set here (--config.seed=3, --config.stages.synthetic.steps=100).

A workdir with checkpoints is continued; one with weights but without checkpoints is refused. It gets metrics.jsonl,
checkpoints/ and, at the end, weights.npz, which fml_jax.Reconstructor(weights=...) and fml-reconstruct --weights=...
read. Where both levels were trained it also gets face_model.npz, which fml_jax.face_model.load_learned_model reads.
The newest checkpoints are kept, and the one with the lowest held-out loss; if that is not the last, its
best_weights.npz and best_face_model.npz are written too.

Compiled programs are kept in the user's cache, or in the folder FML_COMPILATION_CACHE (empty: nowhere), so
that the next start is faster.

All devices of a machine are used. Several processes, which must share the workdir, are started with
the same command and --coordinator=auto on clusters that number their processes (Slurm, Kubernetes, TPU
pods), else with --coordinator=HOST:PORT --processes=N --process=K.
"""

import sys
from pathlib import Path

from absl import flags

from fml_jax.errors import InputError
from fml_jax.launchers.command_line import define_face_model_flag, run_launcher
from fml_jax.launchers.config_flag import define_config_flag, parse_with_config, with_face_model

_FLAGS = flags.FlagValues()
_CONFIG = define_config_flag(_FLAGS)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder for metrics, checkpoints and weights; a run in it is continued.",
    required=True,
    flag_values=_FLAGS,
)
_FACE_MODEL = define_face_model_flag(_FLAGS)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "With several processes: HOST:PORT of the first one, or auto.", flag_values=_FLAGS
)
_PROCESSES = flags.DEFINE_integer(
    "processes", None, "The number of processes, unless --coordinator=auto.", lower_bound=1, flag_values=_FLAGS
)
_PROCESS = flags.DEFINE_integer(
    "process", None, "The number of this process, from 0, unless --coordinator=auto.", lower_bound=0, flag_values=_FLAGS
)
_DATA_WORKERS = flags.DEFINE_integer(
    "data_workers",
    None,
    "Worker processes that make batches (docs/devices.md); 0 is a thread. The default is a thread on CPUs, and beside "
    "a GPU one process for each spare core, 15 at most.",
    lower_bound=0,
    flag_values=_FLAGS,
)


def main() -> None:
    """Trains the config."""
    import jax

    from fml_jax.training.config import run_config
    from fml_jax.training.host_memory import keep_freed_memory
    from fml_jax.training.loop import train
    from fml_jax.training.stages import NonFiniteLoss

    keep_freed_memory()
    join_processes()
    # On GPUs the default rounds the factors of products to 10 bits, too few for normals; convolutions still use it.
    jax.config.update("jax_default_matmul_precision", "float32")
    try:
        weights = train(
            run_config(with_face_model(_CONFIG.value, _FACE_MODEL.value)), Path(_WORKDIR.value), _DATA_WORKERS.value
        )
    except NonFiniteLoss as error:
        sys.exit(f"train: {error}")
    print(f"weights: {weights}")


def join_processes() -> None:
    """Connects to the other processes of the run, where there are any."""
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
