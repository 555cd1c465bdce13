"""Whether a config can be trained, and whether a run can go on with it.

Names of encoders and of corrective spaces are left to `make_network`, which knows them, and folders to `StageBatches`.
"""

from collections.abc import Mapping

from fml_jax.errors import InputError
from fml_jax.training.checkpoints import changes

LEVELS = ("base", "full")
# Fields that a checkpoint's network depends on.
_OF_THE_NETWORK = ("correctives", "detail", "encoder", "model", "reflectance_modes")


def validate_config(config: Mapping) -> None:
    """Checks all that a config says of its stages.

    Raises:
      InputError: a stage that is missing or has no step, no row or an unknown level; a final level without parameters.
    """
    if not config["stage_order"]:
        raise InputError("--config.stage_order is empty; name the stages to train")
    for name in config["stage_order"]:
        if name not in config["stages"]:
            raise InputError(
                f"--config.stage_order: there is no stage {name!r}; the config has {', '.join(config['stages'])}"
            )
        _check_stage(f"--config.stages.{name}", config["stages"][name])
        if config["stages"][name]["level"] == "full" and config["correctives"]["kind"] == "none":
            raise InputError(
                f"stage {name!r} trains both levels; give it a final one with --config.correctives.kind=linear"
            )


def check_continues(saved: Mapping, config: Mapping, place: str) -> None:
    """Checks that a checkpoint's network is the config's.

    Args:
      saved: the config that the checkpoint was written with.
      place: what messages call the run.

    Raises:
      InputError: it is another.
    """
    saved = {**saved, "correctives": {"subspace": "all", **saved["correctives"]}}  # a field that older runs do not have
    before, now = ({field: each[field] for field in _OF_THE_NETWORK} for each in (saved, config))
    if differ := changes(before, now):
        raise InputError(
            f"{place}: its checkpoint is of another network ({'; '.join(differ)}); choose another --workdir"
        )


def _check_stage(field: str, stage: Mapping) -> None:
    if stage["level"] not in LEVELS:
        raise InputError(f"{field}.level={stage['level']}: unknown; choose one of {', '.join(LEVELS)}")
    if stage["steps"] < 1:
        raise InputError(
            f"{field}.steps={stage['steps']}: give at least 1, or leave the stage out of --config.stage_order"
        )
    for source in ("synthetic", "photos"):
        if stage[source] < 0:
            raise InputError(f"{field}.{source}={stage[source]}: a batch cannot have fewer than 0 rows")
    if not stage["synthetic"] + stage["photos"]:
        raise InputError(f"{field}: its batches have no rows; give {field}.synthetic or {field}.photos")
