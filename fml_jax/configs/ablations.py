"""The paper's comparisons (supplement, sections 3 and 4): variants of one training that differ in a line each.

    fml-ablate --output=runs/ablations --photos=data/photos --synthetic=data/small \
        --synthetic_validation=data/small_validation
    fml-train --config=ablations:no_ref --workdir=runs/no_ref

The first command trains all of them and writes a table, the second trains one. The name may be followed by a size,
--config=ablations:no_ref,paper: "small" (small.py, the default) or "paper" (paper.py), each with the paper's C = 500.
"""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from fml_jax.configs import paper, small
from fml_jax.errors import InputError

SIZES = {"small": small.get_config, "paper": paper.get_config}

REFERENCE = "c500"  # C = 500, linear: the run with which all others are compared

VARIANTS: dict[str, Callable[[ConfigDict], Any]] = {
    # Corrective parameters of each space.
    REFERENCE: lambda config: None,
    "c250": lambda config: config.correctives.update(geometry=250, reflectance=250),
    "c100": lambda config: config.correctives.update(geometry=100, reflectance=100),
    "c0": lambda config: config.correctives.update(geometry=0, reflectance=0),
    # Non-linearities of the corrective spaces.
    "relu1": lambda config: config.correctives.update(kind="relu1"),
    "relu2": lambda config: config.correctives.update(kind="relu2"),
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
}


def get_config(name: str = REFERENCE) -> ConfigDict:
    """The settings of one variant.

    Raises:
      InputError: an unknown variant or size.
    """
    variant, _, size = name.partition(",")
    if variant not in VARIANTS or (size or "small") not in SIZES:
        unknown = variant if variant not in VARIANTS else name
        remedy = f"choose one of {', '.join(VARIANTS)}, each with ,small or ,paper behind it in --config"
        raise InputError(f"ablation {unknown!r} is unknown; {remedy}")
    config = SIZES[size or "small"]()
    config.correctives.update(geometry=500, reflectance=500)
    config.keep_checkpoints = 1
    VARIANTS[variant](config)
    return config
