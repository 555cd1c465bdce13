"""Trains an encoder.

    python -m experiments.train --config=experiments/configs/quick.py --workdir=runs/quick

The config is a Python file whose docstring says what it trains, with which data and how long; any
of its fields can be set here (--config.seed=3, --config.stages.synthetic.steps=100). A workdir
that holds checkpoints is continued. It gets metrics.jsonl, checkpoints/ and, at the end, weights.npz,
which fml_jax.Reconstructor(weights=...) and experiments.reconstruct --weights=... read; and where
both levels were trained face_model.npz, which fml_jax.face_model.load_learned_model reads. The newest
checkpoints are kept, and the one with the lowest held-out loss; where that lies before the end, its
best_weights.npz and best_face_model.npz are written too.

What is compiled is kept in the user's cache, or in the folder that FML_COMPILATION_CACHE names (empty:
nowhere), so that the next start is quicker.

All devices of a machine take part. Several processes, which must share the workdir, are started with
the same command and --coordinator=auto where the cluster tells each its place (Slurm, Kubernetes, TPU
pods), else with --coordinator=HOST:PORT --processes=N --process=K.
"""

import functools
import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from experiments.config_flag import parse_flags
from fml_jax.errors import InputError

_CONFIG = config_flags.DEFINE_config_file("config", None, "Python file whose get_config() describes the run.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for metrics, checkpoints and weights; continued if it has any.")
_COORDINATOR = flags.DEFINE_string("coordinator", None, "Of several processes: HOST:PORT of the first, or auto.")
_PROCESSES = flags.DEFINE_integer("processes", None, "How many there are, unless the cluster tells.", lower_bound=1)
_PROCESS = flags.DEFINE_integer("process", None, "Which of them this one is, from 0.", lower_bound=0)
_DATA_WORKERS = flags.DEFINE_integer(
    "data_workers",
    None,
    "Worker processes that make batches (docs/devices.md); 0 is a thread. By default a thread on CPUs, beside a GPU a "
    "process a spare core, 15 at most.",
    lower_bound=0,
)


def main(_):
    from fml_jax.training.compilation_cache import keep_compiled_programs
    from fml_jax.training.host_memory import keep_freed_memory
    from fml_jax.training.loop import NonFiniteLoss, train

    logging.set_verbosity(logging.WARNING)  # JAX and Orbax tell much; the run itself speaks beside its bar
    keep_freed_memory()
    join_processes()
    keep_compiled_programs()
    try:
        weights = train(_CONFIG.value.to_dict(), Path(_WORKDIR.value), _DATA_WORKERS.value)
    except (InputError, NonFiniteLoss) as error:
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
            sys.exit(f"train: {given}: also give --processes=N and --process=K, or --coordinator=auto")
        jax.distributed.initialize(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main, flags_parser=functools.partial(parse_flags, "train"))
