"""A set of runs with small differences, and the table that compares them.

Runs that differ from a reference only in the final level share all stages except the last with it. These stages are
trained once, as the run "base", and the other runs begin with its weights.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fml_jax.errors import InputError
from fml_jax.evaluation.tables import markdown
from fml_jax.files import complete_or_absent
from fml_jax.networks.multilevel import CorrectivesConfig
from fml_jax.training.checkpoints import changes
from fml_jax.training.config import RunConfig, as_dict
from fml_jax.training.loop import train
from fml_jax.training.metrics import CONFIG, VALIDATION, read_metrics
from fml_jax.training.outputs import WEIGHTS_FILE
from fml_jax.training.sheets import FOLDER as SHEETS
from fml_jax.training.stages import NonFiniteLoss
from fml_jax.training.stored import FOLDER as ANSWERS

BASE = "base"  # the run of the shared stages
TABLE = "ablations.md"
_FAILED = "failed.txt"
_SEED = "_seed"  # between a run's name and its seed, where it is trained with several
_NONE = "–"

# The columns of the table: a title, and names of values on held-out faces, of which the first that exists is shown.
_COLUMNS = {
    "E_photo, base": ("photos/photo_base", "synthetic/photo_base"),
    "E_photo, final": ("photos/photo_final", "synthetic/photo_final"),
    "landmarks": ("photos/landmark_error", "synthetic/landmark_error"),
    "E_smo": ("photos/smo", "synthetic/smo"),
    "E_sta": ("photos/sta", "synthetic/sta"),
    "E_ref": ("photos/ref", "synthetic/ref"),
    "E_glo": ("photos/glo", "synthetic/glo"),
    "reflectance, mean": ("synthetic/reflectance_error_mean",),
    "reflectance, own modes": ("synthetic/reflectance_error_own_modes",),
    "reflectance, base": ("synthetic/reflectance_error_base",),
    "reflectance, final": ("synthetic/reflectance_error_final",),
}


def with_seeds(configs: Mapping[str, RunConfig], count: int) -> dict[str, RunConfig]:
    """Each config with its own seed and, under names of their own, with the `count` - 1 seeds after it."""
    found = {}
    for name, config in configs.items():
        found[name] = config
        for seed in range(config.seed + 1, config.seed + count):
            found[f"{name}{_SEED}{seed}"] = replace(config, seed=seed)
    return found


def run_set(configs: Mapping[str, RunConfig], reference: RunConfig, output: Path) -> Path:
    """Trains each unfinished config in OUTPUT/NAME, and writes OUTPUT/ablations.md after each.

    A run whose loss is not finite any more has failed: the table lists it as failed, and the others are trained.

    Args:
      configs: by name, each with its last stage of level "full".
      reference: the config with which they are compared; it need not be among them.

    Returns:
      the table's path.

    Raises:
      InputError: an error of `train`; a folder with a run of another config.
    """
    planned = _planned(configs, reference, output)
    stored = {name for name, config in planned.items() if any(each.stored for each in config.ordered_stages.values())}
    planned |= {name: replace(planned[name], answers=str(output / ANSWERS)) for name in stored}
    for name, config in planned.items():
        _check_unchanged(config, output / name)
    for name, config in planned.items():
        if not _finished(output / name):
            print(f"run {name}", flush=True)
            _run(config, output / name)
        _write_table(planned, output)
    return output / TABLE


def _planned(configs: Mapping[str, RunConfig], reference: RunConfig, output: Path) -> dict[str, RunConfig]:
    """The runs in their order; the runs of the shared stages, one for each seed, are the first."""
    *shared, last = reference.stage_order
    bases, later = {}, {}
    for name, config in configs.items():
        own = replace(reference, seed=config.seed)
        if shared and _before_final(config) == _before_final(own):
            base = BASE if config.seed == reference.seed else f"{BASE}{_SEED}{config.seed}"
            bases[base] = replace(own, stage_order=tuple(shared), correctives=CorrectivesConfig())
            later[name] = replace(config, stage_order=(last,), start_from=str(output / base / WEIGHTS_FILE))
    return {**bases, **configs, **later}


def _before_final(config: RunConfig) -> RunConfig:
    """The part of a config that affects its stages before the last."""
    before = {name: config.stages[name] for name in config.stage_order[:-1]}
    return replace(config, stages=before, correctives=CorrectivesConfig())


def _run(config: RunConfig, workdir: Path) -> None:
    try:
        train(config, workdir)
    except NonFiniteLoss as error:
        with complete_or_absent(workdir / _FAILED) as partial:
            partial.write_text(str(error), "utf-8")


def _finished(workdir: Path) -> bool:
    return (workdir / WEIGHTS_FILE).is_file() or (workdir / _FAILED).is_file()


def _check_unchanged(config: RunConfig, workdir: Path) -> None:
    if not (workdir / CONFIG).is_file():
        return
    before = json.loads((workdir / CONFIG).read_text("utf-8"))
    # The folder of stored batches may be reached by another path, or have moved.
    if found := changes({**before, "answers": ""}, {**as_dict(config), "answers": ""}):
        raise InputError(f"{workdir}: was trained with another config ({'; '.join(found)}); choose another --output")


def _write_table(planned: Mapping[str, RunConfig], output: Path) -> None:
    done = [name for name in planned if not _is_base(name) and _finished(output / name)]
    if not done:
        return
    rows: dict[str, list[dict]] = defaultdict(list)  # of the seeds of a run
    for name in done:
        rows[name.partition(_SEED)[0]].append(_measured(output / name))
    columns = [title for title in _COLUMNS if any(_cell(row, title) != _NONE for row in rows.values())]
    lines = [
        (name, sum(map(bool, row)), *(_cell(row, title) for title in columns), _picture(output, name))
        for name, row in rows.items()
    ]
    failures = {name: output / name / _FAILED for name in done if (output / name / _FAILED).is_file()}
    parts = [_budget(planned), markdown(["run", "seeds", *columns, ""], lines)]
    parts += [f"{name} failed: {path.read_text('utf-8')}" for name, path in failures.items()]
    with complete_or_absent(output / TABLE) as partial:
        partial.write_text("\n\n".join(parts) + "\n", "utf-8")


def _budget(planned: Mapping[str, RunConfig]) -> str:
    """The stages of a run, shared ones included, in words."""
    config = next(config for name, config in planned.items() if not _is_base(name))
    order = dict.fromkeys([*planned.get(BASE, config).stage_order, *config.stage_order])
    stages = {name: config.stages[name] for name in order}
    parts = [f"{stage.steps} steps of {stage.rows} crops (stage {name})" for name, stage in stages.items()]
    shared = f"; runs that share their first stages begin with those of run {BASE}" if BASE in planned else ""
    seeds = sorted({each.seed for each in planned.values()})
    spread = "± is the standard deviation over seeds. " if len(seeds) > 1 else ""
    return (
        f"Each run: {', then '.join(parts)}; encoder {config.encoder}, seed {', '.join(map(str, seeds))}{shared}. "
        f"{spread}"
        "Values are those of held-out photos, or of held-out synthetic faces for runs without photos; terms are before "
        "their weights. Reflectance is the mean RGB distance from the truth after a shift of the whole face, on "
        "synthetic faces: of the mean reflectance, of the truth's modes that the base level has, and of the two levels."
    )


def _is_base(name: str) -> bool:
    return name.partition(_SEED)[0] == BASE


def _measured(workdir: Path) -> dict:
    held_out = [row for row in read_metrics(workdir) if VALIDATION in row]
    return held_out[-1] if held_out and not (workdir / _FAILED).is_file() else {}


def _cell(rows: Sequence[dict], title: str) -> str | float:
    """The mean over the seeds of a run and, where there are several, its standard deviation over them."""
    found = [next((row[name] for name in _COLUMNS[title] if name in row), None) for row in rows]
    values = [value for value in found if value is not None]
    if not values:
        return _NONE
    if len(values) == 1:
        return values[0]
    return f"{np.mean(values):.4g} ± {np.std(values, ddof=1):.2g}"


def _picture(output: Path, name: str) -> str:
    sheets = sorted((output / name / SHEETS).glob("step_*.png"))
    return f"[faces]({sheets[-1].relative_to(output)})" if sheets else ""
