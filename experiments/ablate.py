r"""Trains the paper's comparisons at one size, and writes the table that compares them.

    python -m experiments.ablate --output=runs/ablations --photos=data/photos --synthetic=data/small \
        --synthetic_validation=data/synthetic_validation --steps=400
    python -m experiments.ablate --runs=c0,c500,no_smo ...

experiments/configs/ablations.py lists the runs. Each gets --steps steps a stage; the same command resumes a set
that was stopped, and OUTPUT/ablations.md grows by a row as each run ends. Every run is a folder of
experiments.train of its own, which experiments.report reads.
"""

import sys
from pathlib import Path

from absl import app, flags, logging

from experiments.configs.ablations import REFERENCE, SIZES, VARIANTS, get_config
from fml_jax.errors import InputError

_OUTPUT = flags.DEFINE_string("output", None, "Folder for the runs and their table; continued if it has any.")
_RUNS = flags.DEFINE_list("runs", list(VARIANTS), "Which of them.")
_SIZE = flags.DEFINE_enum("size", "small", list(SIZES), "The config that all of them begin with.")
_STEPS = flags.DEFINE_integer("steps", None, "Of each stage; without it, as many as the size has.", lower_bound=1)
_PHOTOS = flags.DEFINE_string("photos", None, "Corpus that replaces the size's.")
_SYNTHETIC = flags.DEFINE_string("synthetic", None, "Corpus of synthetic faces that replaces the size's.")
_SYNTHETIC_VALIDATION = flags.DEFINE_string("synthetic_validation", None, "Synthetic faces to measure reflectance on.")


def main(_):
    from fml_jax.training.ablation import run_set

    logging.set_verbosity(logging.WARNING)
    try:
        print(f"table: {run_set(configs(), configured(REFERENCE), Path(_OUTPUT.value))}")
    except InputError as error:
        # Folders are fields of a run's config, and flags here.
        sys.exit(f"ablate: {str(error).replace('--config.data.', '--')}")


def configs() -> dict[str, dict]:
    """What the flags ask for, by the runs' names."""
    return {name: configured(name) for name in dict.fromkeys(_RUNS.value)}


def configured(name: str) -> dict:
    """One run's config."""
    config = get_config(f"{name},{_SIZE.value}")
    given = {"synthetic": _SYNTHETIC.value, "synthetic_validation": _SYNTHETIC_VALIDATION.value}
    if not config.reflectance_modes:  # whose photos are the synthetic faces
        given["photos"] = _PHOTOS.value
    config.data.update({field: folder for field, folder in given.items() if folder})
    for stage in config.stages.values():
        stage.steps = _STEPS.value or stage.steps
        stage.optimizer.warmup = min(stage.optimizer.warmup, stage.steps // 10)
    return config.to_dict()


if __name__ == "__main__":
    flags.mark_flags_as_required(["output"])
    app.run(main)
