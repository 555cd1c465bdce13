"""Trains the local stages of the network that the package ships, on top of an encoder that stays as it is.

    fml-train --config=open_local --workdir=runs/open_local

The data is that of `open_light`. It begins with the shipped weights, local stages included;
`--config.start_from` names others.
"""

from ml_collections import ConfigDict

from fml_jax.configs.common import defaults, groups, stage
from fml_jax.reconstruction.prediction import OPEN_ENCODER, OPEN_WEIGHTS


def get_config() -> ConfigDict:
    """The settings of the run."""
    config = defaults()
    config.data.update(
        synthetic="data/synthetic", synthetic_validation="data/synthetic_validation", photos="data/photos"
    )
    config.encoder, config.start_from, config.local_stages = OPEN_ENCODER, str(OPEN_WEIGHTS), True
    config.stages = {"local": _stage(1300, "constant"), "local_decay": _stage(2000, "cosine")}
    config.stage_order = tuple(config.stages)
    return config


def _stage(steps: int, schedule: str) -> ConfigDict:
    """A stage of renders, whose points are exact, and of photos with detected landmarks; colours play no part."""
    result = stage(steps, synthetic=24, photos=40, learning_rate=1e-3)
    result.level = "landmarks"
    result.supervised.update(reflectance=0.0, shading=0.0, keypoints=0.0)
    result.base.update(sparse=0.0, reg=0.01, contour="pose", keypoints=0.0)
    result.score, result.ema_decay = 0.0, 0.995
    result.optimizer.schedule = schedule
    result.optimizer.groups = groups({"encoder": 0.0, "local": 1e-3})
    return result
