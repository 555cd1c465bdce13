"""A set of runs that differ by little, and the table that compares them.

Runs that differ from a reference in the final level alone share all stages but the last with it: these are trained
once, as the run "base", and the others begin with its weights.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from fml_jax.errors import InputError
from fml_jax.evaluation.tables import markdown
from fml_jax.files import complete_or_absent
from fml_jax.training.checkpoints import changes
from fml_jax.training.loop import WEIGHTS_FILE, NonFiniteLoss, train
from fml_jax.training.metrics import CONFIG, VALIDATION, read_metrics
from fml_jax.training.sheets import FOLDER as SHEETS

BASE = "base"  # the run of the shared stages
TABLE = "ablations.md"
_FAILED = "failed.txt"
_NONE = "–"

# The table's columns: a title, and the names that its value may have among those of held-out faces; the first found counts.
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


def run_set(configs: Mapping[str, dict], reference: dict, output: Path) -> Path:
    """Trains each config in OUTPUT/NAME, what is finished left alone, and writes OUTPUT/ablations.md after each.

    A run whose loss stops being finite has failed: a row says so, and the others go on.

    Args:
      configs: by name, each with its last stage of level "full".
      reference: the config that they are compared with, whether it is among them or not.

    Returns:
      the table's path.

    Raises:
      InputError: what `train` raises; a folder that holds a run of another config.
    """
    planned = _planned(configs, reference, output)
    for name, config in planned.items():
        _check_unchanged(config, output / name)
    for name, config in planned.items():
        if not _finished(output / name):
            print(f"run {name}", flush=True)
            _run(config, output / name)
        _write_table(planned, output)
    return output / TABLE


def _planned(configs, reference, output: Path) -> dict[str, dict]:
    """The runs in their order, the one that others begin with first."""
    *shared, last = reference["stage_order"]
    sharing = [name for name, config in configs.items() if _before_final(config) == _before_final(reference)]
    if not sharing or not shared:
        return dict(configs)
    base = {**reference, "stage_order": tuple(shared), "correctives": {"kind": "none", "geometry": 0, "reflectance": 0}}
    later = {"stage_order": (last,), "start_from": str(output / BASE / WEIGHTS_FILE)}
    return {BASE: base, **{name: config | (later if name in sharing else {}) for name, config in configs.items()}}


def _before_final(config: dict) -> dict:
    """All of a config that tells in its stages before the last."""
    before = {name: config["stages"][name] for name in config["stage_order"][:-1]}
    return {**config, "stages": before, "correctives": None}


def _run(config, workdir: Path) -> None:
    try:
        train(config, workdir)
    except NonFiniteLoss as error:
        (workdir / _FAILED).write_text(str(error), "utf-8")


def _finished(workdir: Path) -> bool:
    return (workdir / WEIGHTS_FILE).is_file() or (workdir / _FAILED).is_file()


def _check_unchanged(config, workdir: Path) -> None:
    if not (workdir / CONFIG).is_file():
        return
    before = json.loads((workdir / CONFIG).read_text("utf-8"))
    if found := changes(before, json.loads(json.dumps(config))):
        raise InputError(f"{workdir}: was trained with another config ({'; '.join(found)}); choose another --output")


def _write_table(planned, output: Path) -> None:
    rows = {name: _measured(output / name) for name in planned if name != BASE and _finished(output / name)}
    if not rows:
        return
    columns = [title for title in _COLUMNS if any(_cell(row, title) != _NONE for row in rows.values())]
    lines = [(name, *(_cell(row, title) for title in columns), _picture(output, name)) for name, row in rows.items()]
    failures = {name: output / name / _FAILED for name in rows if (output / name / _FAILED).is_file()}
    parts = [_budget(planned), markdown(["run", *columns, ""], lines)]
    parts += [f"{name} failed: {path.read_text('utf-8')}" for name, path in failures.items()]
    with complete_or_absent(output / TABLE) as partial:
        partial.write_text("\n\n".join(parts) + "\n", "utf-8")


def _budget(planned) -> str:
    """What a run was given, shared stages included."""
    config = next(config for name, config in planned.items() if name != BASE)
    order = dict.fromkeys([*planned.get(BASE, config)["stage_order"], *config["stage_order"]])
    stages = [(name, config["stages"][name]) for name in order]
    parts = [
        f"{stage['steps']} steps of {stage['synthetic'] + stage['photos']} crops (stage {name})"
        for name, stage in stages
    ]
    shared = f"; runs that share their first stages begin with those of run {BASE}" if BASE in planned else ""
    return (
        f"Each run: {', then '.join(parts)}; encoder {config['encoder']}, seed {config['seed']}{shared}. "
        "Values are those of held-out photos, or of held-out synthetic faces for runs without photos; terms are before "
        "their weights. Reflectance is the mean RGB distance from the truth, less a shift of the whole face, on synthetic "
        "faces: of the mean reflectance, of the truth's own modes that the base level has, of the two levels."
    )


def _measured(workdir: Path) -> dict:
    held_out = [row for row in read_metrics(workdir) if VALIDATION in row]
    return held_out[-1] if held_out and not (workdir / _FAILED).is_file() else {}


def _cell(row, title):
    return next((row[name] for name in _COLUMNS[title] if name in row), _NONE)


def _picture(output: Path, name: str) -> str:
    sheets = sorted((output / name / SHEETS).glob("step_*.png"))
    return f"[faces]({sheets[-1].relative_to(output)})" if sheets else ""
