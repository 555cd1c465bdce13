"""Trains an encoder.

    python -m experiments.train --config=experiments/configs/quick.py --workdir=runs/quick

The config is a Python file whose docstring says what it trains, with which data and how long; any
of its fields can be set here (--config.seed=3, --config.stages.synthetic.steps=100). A workdir
that holds checkpoints is continued. It gets metrics.jsonl, checkpoints/ and, at the end, weights.npz,
which fml_jax.Reconstructor(weights=...) and experiments.reconstruct --weights=... read.
"""

import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from fml_jax.errors import InputError

CONFIGS = Path(__file__).parent / "configs"

_CONFIG = config_flags.DEFINE_config_file("config", None, "Python file whose get_config() describes the run.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for metrics, checkpoints and weights; continued if it has any.")


def main(_):
    from fml_jax.training.loop import NonFiniteLoss, train

    logging.set_verbosity(logging.INFO)
    try:
        weights = train(_CONFIG.value.to_dict(), Path(_WORKDIR.value))
    except (InputError, NonFiniteLoss) as error:
        sys.exit(f"train: {error}")
    print(f"weights: {weights}")


def run() -> None:
    flags.mark_flags_as_required(["config", "workdir"])
    try:
        app.run(main)
    except FileNotFoundError as error:
        known = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.py") if path.stem != "common"))
        sys.exit(f"train: {error.filename or error}: no such config; those in {CONFIGS.name}/ are {known}")


if __name__ == "__main__":
    run()
