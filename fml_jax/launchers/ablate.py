r"""Trains the paper's comparisons at one size, and writes the table that compares them.

    fml-ablate --output=runs/ablations --photos=data/photos --synthetic=data/small \
        --synthetic_validation=data/synthetic_validation --steps=400
    fml-ablate --runs=c0,c500,no_smo ...
    fml-ablate --size=open --photos=data/photos.npz --synthetic=data/synthetic.npz ...
    fml-ablate --runs=c100,muon --seeds=3 ...
    fml-ablate --face_model=bfm.npz ...

fml_jax/configs/ablations.py lists the runs. Each stage has --steps steps. The same command resumes a set that was
stopped, and OUTPUT/ablations.md gets a row when a run ends. Every run has its own folder, as fml-train
writes it, which fml-report reads. Runs of size open share 3 GB of stored batches in OUTPUT/answers (9 GB with the runs
no_masks and no_local), which may be deleted afterwards.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from fml_jax.configs.ablations import REFERENCES, SIZES, get_config, variants_of
from fml_jax.errors import InputError
from fml_jax.launchers.command_line import define_face_model_flag, run_launcher

if TYPE_CHECKING:
    from fml_jax.training.config import RunConfig

_FLAGS = flags.FlagValues()
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder for the runs and their table; a set in it is continued.", required=True, flag_values=_FLAGS
)
_FACE_MODEL = define_face_model_flag(_FLAGS)
_RUNS = flags.DEFINE_list("runs", None, "The runs to train; by default all of the size.", flag_values=_FLAGS)
_SIZE = flags.DEFINE_enum(
    "size", "small", list(SIZES), "The config from which all runs are derived.", flag_values=_FLAGS
)
_STEPS = flags.DEFINE_integer(
    "steps", None, "Steps of each stage, in place of the config's.", lower_bound=1, flag_values=_FLAGS
)
_SEEDS = flags.DEFINE_integer(
    "seeds",
    1,
    "So many runs of each kind, each with its own seed; the table has their means.",
    lower_bound=1,
    flag_values=_FLAGS,
)
_PHOTOS = flags.DEFINE_string("photos", None, "Corpus in place of the config's.", flag_values=_FLAGS)
_SYNTHETIC = flags.DEFINE_string(
    "synthetic", None, "Corpus of synthetic faces in place of the config's.", flag_values=_FLAGS
)
_SYNTHETIC_VALIDATION = flags.DEFINE_string(
    "synthetic_validation", None, "Synthetic faces on which reflectance is measured.", flag_values=_FLAGS
)


def main() -> None:
    """Trains the runs."""
    from fml_jax.training.ablation import run_set

    try:
        print(f"table: {run_set(configs(), configured(REFERENCES[_SIZE.value]), Path(_OUTPUT.value))}")
    except InputError as error:
        # Folders are fields of a config, and flags of this command.
        raise InputError(str(error).replace("--config.data.", "--")) from None


def configs() -> "dict[str, RunConfig]":
    """The chosen runs, by name, with each of their seeds."""
    from fml_jax.training.ablation import with_seeds

    names = dict.fromkeys(_RUNS.value or variants_of(_SIZE.value))
    return with_seeds({name: configured(name) for name in names}, _SEEDS.value)


def configured(name: str) -> "RunConfig":
    """The config of one run, with the changes in the flags."""
    from fml_jax.launchers.config_flag import with_face_model
    from fml_jax.training.config import run_config

    config = with_face_model(get_config(f"{name},{_SIZE.value}"), _FACE_MODEL.value)
    given = {"synthetic": _SYNTHETIC.value, "synthetic_validation": _SYNTHETIC_VALIDATION.value}
    if not config.reflectance_modes:  # otherwise its photos are the synthetic faces
        given["photos"] = _PHOTOS.value
    config.data.update({field: folder for field, folder in given.items() if folder})
    for stage in config.stages.values():
        stage.steps = _STEPS.value or stage.steps
        stage.optimizer.warmup = min(stage.optimizer.warmup, stage.steps // 10)
    return run_config(config)


def run() -> None:
    """The command `fml-ablate`."""
    run_launcher(main, _FLAGS)
