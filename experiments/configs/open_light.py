"""Trains the network that the package ships: the light encoder, first on synthetic faces, then on photos too.

    python -m experiments.prepare --layout=synthetic --count=23000 --seed=3 --input=PHOTOS --output=data/synthetic
    python -m experiments.prepare --layout=synthetic --count=400 --seed=1 --input=PHOTOS --output=data/synthetic_validation
    python -m experiments.prepare --layout=folder --input=PHOTOS --output=data/photos
    python -m experiments.train --config=experiments/configs/open_light.py --workdir=runs/open_light

9,000 steps of 64 crops: 70 minutes on two cores. On photos of people not trained on, landmarks end
at 2.0 % of the face's size; docs/results.md has the rest.
"""

from experiments.configs.common import defaults, stage


def get_config():
    config = defaults()
    config.data.update(
        synthetic="data/synthetic", synthetic_validation="data/synthetic_validation", photos="data/photos"
    )
    config.stage_order = ("synthetic", "both", "last")

    # Every part of the code weighs about alike; keypoints first, which the rest is read from.
    supervised = dict(
        pixels=0.5, keypoints=3.0, rotation=200.0, depth=50.0,
        identity=3.0, expression=6.0, reflectance=1000.0, shading=30.0,
    )
    base = dict(photo=200.0, sparse=0.3, keypoints=3.0, reg=0.01, rstd=1.0, contour="pose")

    config.stages.synthetic = stage(steps=2500, synthetic=64, photos=0, rate=1e-3)
    config.stages.both = stage(steps=3500, synthetic=40, photos=24, rate=1e-3)
    config.stages.last = stage(steps=3000, synthetic=40, photos=24, rate=1e-3)
    for each in config.stages.values():
        each.supervised.update(supervised)
        each.base.update(base)
    config.stages.synthetic.optimizer.schedule = "constant"
    config.stages.both.optimizer.schedule = "constant"
    config.stages.last.optimizer.warmup = 50
    return config
