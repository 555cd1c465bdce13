"""Trains a network such as the package ships, both levels, on one GPU.

    fml-prepare --layout=synthetic --count=44000 --seed=5 --input=PHOTOS --output=data/synthetic
    fml-prepare --layout=lfw --input=LFW --layout=youtube --input=YOUTUBE --output=data/photos
    fml-pack --corpus=data/synthetic --output=data/synthetic.npz
    fml-pack --corpus=data/photos --output=data/photos.npz
    fml-train --config=open_gpu --workdir=runs/open_gpu

The stage "base" trains the deep encoder, its occlusion head and the local stages, from random weights; "levels" learns
the correctives on top of them. fml-fit-score then fits the crop score. On one H200 "base" trained on 9,100 crops a
second, 4.3 minutes after 108 s of compilation; "levels" was not timed there. The shipped network's "base" is this
stage's, with 12,000 renders and other label maps of photos; OPEN_DEEP.md in fml_jax/reconstruction lists what else it
saw. The pictures of 44,000 renders take 11 GB of the device's memory.
"""

from ml_collections import ConfigDict

from fml_jax.configs import open_levels
from fml_jax.configs.common import CODE_WEIGHTS, groups, stage


def get_config() -> ConfigDict:
    """The settings of the run."""
    config = open_levels.get_config()
    config.encoder, config.start_from = "deep", ""
    config.data.update(synthetic="data/synthetic.npz", synthetic_validation="", photos="data/photos.npz")
    levels = config.stages.levels
    levels.photos, levels.steps = 64, 4000
    config.stages = {"base": _base(9000), "levels": levels}
    config.stage_order = tuple(config.stages)
    return config


def _base(steps: int) -> ConfigDict:
    result = stage(steps, synthetic=144, photos=112, learning_rate=3e-3)
    own = {"keypoints": 5.0, "rotation": 300.0, "identity": 12.0, "expression": 8.0, "reflectance": 800.0}
    result.supervised.update(CODE_WEIGHTS | own)
    result.base.update(photo=400.0, sparse=0.3, keypoints=5.0, reg=0.01, rstd=1.0, contour="pose")
    result.local.update(points=1.0, distance=2.0, start=1.0)
    result.tone.update(known=1.0, agreement=0.15)
    result.occlusion, result.identity, result.ema_decay = 10.0, 3.0, 0.998
    result.optimizer.name = "muon"
    result.optimizer.groups = groups({"encoder": 3e-3, "local": 1e-3, "final": 0.0, "correctives": 0.0})
    return result
