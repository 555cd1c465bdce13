"""The paper's two stages at a size for two cores: the light encoder, 64 + 64 corrective parameters.

    fml-prepare --layout=synthetic --count=4000 --input=PHOTOS --output=data/small
    fml-prepare --input=PHOTOS --output=data/photos
    fml-train --config=small --workdir=runs/small

Half of each batch are synthetic faces whose base level is known. On the photos the energy is minimised, first of
the base level, then of both levels. Without photos, --config.data.photos=data/small takes synthetic
faces in their place. The run takes about a quarter of an hour on two cores.
"""

from ml_collections import ConfigDict

from fml_jax.configs.common import CODE_WEIGHTS, defaults, groups, stage


def get_config() -> ConfigDict:
    """The settings of the run."""
    config = defaults()
    config.data.update(synthetic="data/small", photos="data/photos")
    config.correctives.update(kind="linear", geometry=64, reflectance=64)
    config.stage_order = ("base", "full")

    base = _stage(steps=900, encoder=1e-3, final=0.0, geometry=0.0, reflectance=0.0)
    full = _stage(steps=900, encoder=3e-4, final=1e-3, geometry=3e-3, reflectance=3e-4)
    full.level = "full"
    config.stages = {"base": base, "full": full}
    return config


def _stage(*, steps: int, encoder: float, final: float, geometry: float, reflectance: float) -> ConfigDict:
    """Sixteen faces of either kind a step, and these learning rates."""
    result = stage(steps, synthetic=16, photos=16, learning_rate=encoder)
    result.supervised.update(CODE_WEIGHTS)
    level = dict(photo=200.0, sparse=0.3, keypoints=3.0, reg=0.01, rstd=1.0, contour="pose")
    result.base.update(level)
    result.full.update(level, smo=1e5, ref=400.0, glo=1.2e3, sta=24.0)
    result.ema_decay = 0.99
    result.optimizer.schedule = "constant"
    rates = {"encoder": encoder, "final": final}
    rates |= {"correctives/geometry": geometry, "correctives/reflectance": reflectance}
    result.optimizer.groups = groups(rates)
    return result
