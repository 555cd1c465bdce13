"""Trains the network that the package ships: the light encoder, first on synthetic faces, then on photos too.

    python -m experiments.prepare --layout=synthetic --count=20000 --output=data/synthetic
    python -m experiments.prepare --layout=synthetic --count=400 --seed=1 --output=data/synthetic_validation
    python -m experiments.prepare --input=PHOTOS --output=data/photos
    python -m experiments.train --config=experiments/configs/open_light.py --workdir=runs/open_light
"""

from experiments.configs.common import defaults, stage


def get_config():
    config = defaults()
    config.data.update(
        synthetic="data/synthetic", synthetic_validation="data/synthetic_validation", photos="data/photos"
    )
    config.stage_order = ("synthetic", "photos")
    warm = stage(steps=1000, synthetic=64, photos=0, rate=1e-3)
    warm.optimizer.schedule = "constant"
    mixed = stage(steps=5000, synthetic=32, photos=32, rate=7e-4)
    mixed.base.update(photo=60.0, sparse=1.0, reg=0.02, rstd=1.0, contour="pose")
    config.stages = {"synthetic": warm, "photos": mixed}
    return config
