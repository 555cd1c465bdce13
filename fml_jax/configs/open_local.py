"""Trains the local stages of the network that the package ships, and the layer of the encoder that outputs its code.

    fml-train --config=open_local --workdir=runs/open_local

The data is that of `open_gpu`, packed; its 44,000 renders take 11 GB of memory. It begins with the shipped weights,
local stages included; `--config.start_from` names others. Landmarks count most: with the weights that `open_gpu` gives
to known codes, the local stages found landmarks no better than the light network's. The encoder's own points count too
(`local.start`): where nothing but the stages' points was trained, the encoder's lay 24 % of a face's size away from
the face, and the first stage looked beside what it should measure. Pictures of sixteen photos a step are also mirrored
or blurred: their faces' shapes must not move (`losses.invariance`), and their landmarks count again. Renders must be
many: after training on 6,000, neutral faces of these were 1.85 mm off, and those of other renders 2.60 mm. Half of them
have the shapes of adults in photos (`fml-prepare`'s default). E_std (`reg`) counts little, since it draws all faces to
the model's mean, which is not that of adults. The final level depends on the local stages: train it afterwards
(`open_levels`).
"""

from ml_collections import ConfigDict

from fml_jax.configs.common import defaults, groups, stage
from fml_jax.reconstruction.open_network import OPEN_ENCODER, OPEN_WEIGHTS


def get_config() -> ConfigDict:
    """The settings of the run."""
    config = defaults()
    config.data.update(synthetic="data/synthetic.npz", synthetic_validation="", photos="data/photos.npz")
    config.encoder, config.start_from, config.local_stages = OPEN_ENCODER, str(OPEN_WEIGHTS), True
    config.stages = {"local": _stage(5000)}
    config.stage_order = tuple(config.stages)
    return config


def _stage(steps: int) -> ConfigDict:
    """A stage of renders, whose points are exact, and of photos with detected landmarks; colours play no part."""
    result = stage(steps, synthetic=24, photos=40, learning_rate=8e-4)
    result.level = "landmarks"
    known = {"pixels": 0.15, "identity": 0.3, "expression": 0.3, "rotation": 3.0, "depth": 3.0}
    result.supervised.update({"reflectance": 0.0, "shading": 0.0, "keypoints": 0.0} | known)
    result.base.update(sparse=0.0, reg=0.003, rstd=0.0, contour="pose", keypoints=0.0)
    result.local.update(points=1.0, distance=3.0, start=1.0, openings=2.0)
    result.tone.update(known=1.0, agreement=0.15)
    result.score, result.identity, result.ema_decay = 0.0, 1.2, 0.997
    result.invariance, result.changed_photos = 7.0, 16
    result.optimizer.groups = groups({"encoder": 0.0, "encoder/code": 8e-4, "local": 8e-4})
    return result
