"""Trains the local stages of the network that the package ships, on top of an encoder that stays as it is.

    fml-train --config=open_local --workdir=runs/open_local

The data is that of `open_light`, whose encoder it begins with.
"""

from ml_collections import ConfigDict

from fml_jax.configs.common import defaults, groups, stage
from fml_jax.reconstruction.prediction import OPEN_WEIGHTS


def get_config() -> ConfigDict:
    """The settings of the run."""
    config = defaults()
    config.data.update(
        synthetic="data/synthetic", synthetic_validation="data/synthetic_validation", photos="data/photos"
    )
    config.start_from, config.local_stages = str(OPEN_WEIGHTS), True
    config.stage_order = ("local",)
    local = stage(4000, synthetic=24, photos=40, learning_rate=1e-3)
    local.supervised.update(reflectance=0.0, shading=0.0, keypoints=0.0)
    local.level = "landmarks"
    local.base.update(sparse=0.0, reg=0.01, contour="pose", keypoints=0.0)
    local.score = 0.0
    local.ema_decay = 0.995
    local.optimizer.groups = groups({"encoder": 0.0, "local": 1e-3})
    config.stages = {"local": local}
    return config
