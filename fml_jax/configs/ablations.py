"""The paper's comparisons (supplement, sections 3 and 4): variants of one training that differ in a line each.

    fml-ablate --output=runs/ablations --photos=data/photos --synthetic=data/small \
        --synthetic_validation=data/small_validation
    fml-ablate --size=open --output=runs/open_ablations --photos=data/photos.npz --synthetic=data/synthetic.npz
    fml-train --config=ablations:no_ref --workdir=runs/no_ref

The first two commands train all of them and write a table, the third trains one. The name may be followed by a size,
--config=ablations:no_ref,open: "small" (small.py, the default), "paper" (paper.py), each with the paper's C = 500, or
"open" (open_levels.py, C = 100), in which a new final level is learned upon the shipped network's base level.
"""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from fml_jax.configs import open_levels, paper, small
from fml_jax.configs.common import groups
from fml_jax.errors import InputError

_Change = Callable[[ConfigDict], Any]


def _without_final_level() -> ConfigDict:
    """The recipe of the shipped final level, from random correctives."""
    config = open_levels.get_config()
    config.stages = {"full": config.stages.levels}
    config.stages.full.stored = 300  # 10,800 crops; a step then takes a third of the time
    config.update(validation_rows=400, evaluate_every=10_000, sheet_every=10_000)  # at the end alone
    config.update(stage_order=("full",), start_without=("final", "correctives"), delta_faces=200)
    rates = {f"correctives/{space}": 3e-4 for space in ("geometry", "reflectance")}  # of non-linear spaces
    config.stages.full.optimizer.groups.update(groups(rates))
    return config


SIZES: dict[str, Callable[[], ConfigDict]] = {
    "small": small.get_config,
    "paper": paper.get_config,
    "open": _without_final_level,
}
REFERENCES = {"small": "c500", "paper": "c500", "open": "c100"}  # of each size, with which its other runs are compared


def _parameters(count: int) -> _Change:
    return lambda config: config.correctives.update(geometry=count, reflectance=count)


def _fixed_harmonics(config: ConfigDict) -> None:
    config.correctives.modes = "harmonics"
    for group in config.stages.full.optimizer.groups.values():
        if group.prefix.startswith("correctives/"):
            group.learning_rate = 0.0


def _as_the_paper(config: ConfigDict) -> None:
    """AdaDelta with the paper's learning rates for its full model."""
    optimizer = config.stages.full.optimizer
    optimizer.update(name="adadelta", schedule="constant", warmup=0, clip=0.0)
    optimizer.groups = paper.get_config().stages.full.optimizer.groups
    for group in optimizer.groups.values():
        if group.prefix == "encoder":
            group.learning_rate = 0.0
    optimizer.groups.update(groups({"local": 0.0}))


VARIANTS: dict[str, _Change] = {
    # Corrective parameters of each space.
    **{f"c{count}": _parameters(count) for count in (500, 250, 100, 0)},
    # Non-linearities of the corrective spaces.
    "relu1": lambda config: config.correctives.update(kind="relu1"),
    "relu2": lambda config: config.correctives.update(kind="relu2"),
    # The first eigenvectors of the mesh's Laplacian in place of learned modes.
    "harmonics": _fixed_harmonics,
    # Without each regulariser of the final level, and without those of geometry or of reflectance together.
    "no_smo": lambda config: config.stages.full.full.update(smo=0.0),
    "no_sta": lambda config: config.stages.full.full.update(sta=0.0),
    "no_shape": lambda config: config.stages.full.full.update(smo=0.0, sta=0.0),
    "no_ref": lambda config: config.stages.full.full.update(ref=0.0),
    "no_glo": lambda config: config.stages.full.full.update(glo=0.0),
    "no_reflectance": lambda config: config.stages.full.full.update(ref=0.0, glo=0.0),
    # Synthetic faces in place of photos, rendered with 80 reflectance modes, of which the base level has 40.
    "reflectance40": lambda config: config.update(
        reflectance_modes=40, data={"photos": config.data.get_ref("synthetic")}
    ),
    # Without what the paper does not have: masks of objects, local stages, and known reflectance of renders.
    "no_masks": lambda config: config.update(masks=False),
    "no_local": lambda config: config.update(local_stages=False),
    "no_known_skin": lambda config: config.stages.full.skin.update(known=0.0),
    # Other optimizers: Muon with the same learning rates, AdaDelta with the paper's.
    "muon": lambda config: config.stages.full.optimizer.update(name="muon"),
    "adadelta": _as_the_paper,
}
_OPEN_ALONE = ("no_masks", "no_local", "no_known_skin", "adadelta")  # not of the other sizes
# Packed renders are no photos.
_NOT = {"small": _OPEN_ALONE, "paper": (*_OPEN_ALONE, "muon"), "open": ("reflectance40",)}


def variants_of(size: str) -> list[str]:
    """The names of a size's runs."""
    return [name for name in VARIANTS if name not in _NOT[size]]


def get_config(name: str = REFERENCES["small"]) -> ConfigDict:
    """The settings of one variant.

    Raises:
      InputError: an unknown size, or a variant that is unknown or that the size does not have.
    """
    variant, _, size = name.partition(",")
    size = size or "small"
    if size not in SIZES or variant not in variants_of(size):
        choices = ", ".join(variants_of(size if size in SIZES else "small"))
        sizes = ", ".join(f",{each}" for each in SIZES)
        raise InputError(f"ablation {name!r} is unknown; choose one of {choices}, with {sizes} behind it in --config")
    config = SIZES[size]()
    VARIANTS[REFERENCES[size]](config)
    VARIANTS[variant](config)
    config.keep_checkpoints = 1
    return config
