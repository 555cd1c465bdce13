r"""Trains the paper's comparisons at one size, and writes the table that compares them.

    fml-ablate --output=runs/ablations --photos=data/photos --synthetic=data/small \
        --synthetic_validation=data/synthetic_validation --steps=400
    fml-ablate --runs=c0,c500,no_smo ...

fml_jax/configs/ablations.py lists the runs. Each gets --steps steps a stage; the same command resumes a set
that was stopped, and OUTPUT/ablations.md grows by a row as each run ends. Every run is a folder of
fml-train of its own, which fml-report reads.
"""

from pathlib import Path

from absl import flags

from fml_jax.configs.ablations import REFERENCE, SIZES, VARIANTS, get_config
from fml_jax.errors import InputError
from fml_jax.launchers.command_line import run_launcher

_FLAGS = flags.FlagValues()
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder for the runs and their table; continued if it has any.", required=True, flag_values=_FLAGS
)
_RUNS = flags.DEFINE_list("runs", list(VARIANTS), "Which of them.", flag_values=_FLAGS)
_SIZE = flags.DEFINE_enum("size", "small", list(SIZES), "The config that all of them begin with.", flag_values=_FLAGS)
_STEPS = flags.DEFINE_integer(
    "steps", None, "Of each stage; without it, as many as the size has.", lower_bound=1, flag_values=_FLAGS
)
_PHOTOS = flags.DEFINE_string("photos", None, "Corpus that replaces the size's.", flag_values=_FLAGS)
_SYNTHETIC = flags.DEFINE_string(
    "synthetic", None, "Corpus of synthetic faces that replaces the size's.", flag_values=_FLAGS
)
_SYNTHETIC_VALIDATION = flags.DEFINE_string(
    "synthetic_validation", None, "Synthetic faces to measure reflectance on.", flag_values=_FLAGS
)


def main() -> None:
    """Trains the set."""
    from fml_jax.training.ablation import run_set

    try:
        print(f"table: {run_set(configs(), configured(REFERENCE), Path(_OUTPUT.value))}")
    except InputError as error:
        # Folders are fields of a run's config, and flags here.
        raise InputError(str(error).replace("--config.data.", "--")) from None


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


def run() -> None:
    """The command `fml-ablate`."""
    run_launcher(main, _FLAGS)
