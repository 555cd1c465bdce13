"""Two stages on a population whose geometry and reflectance lie outside the base model's span.

    python -m experiments.prepare --layout=synthetic --beyond --notruth --count=3000 --seed=2 --input=PHOTOS --output=data/beyond
    python -m experiments.prepare --layout=synthetic --beyond --count=200 --seed=1 --input=PHOTOS --output=data/beyond_validation
    python -m experiments.prepare --layout=synthetic --count=4000 --seed=5 --input=PHOTOS --output=data/small
    python -m experiments.train --config=experiments/configs/beyond.py --workdir=runs/beyond

The population is known by its crops and landmarks alone, as photos are; ordinary faces with known codes keep the base
level, which begins with the shipped network, from going astray.
"""

from experiments.configs.common import defaults, stage


def get_config():
    config = defaults()
    config.data.update(synthetic="data/small", photos="data/beyond", synthetic_validation="data/beyond_validation")
    config.start_from = "fml_jax/reconstruction/open_light.npz"
    config.correctives.update(kind="linear", geometry=16, reflectance=16)
    config.stage_order = ("base", "full")
    config.stages.base = _stage(steps=150, encoder=3e-4)
    config.stages.full = _stage(steps=700, encoder=1e-4, final=2e-4, offsets=4e-2, modes=2e-3)
    config.stages.full.level = "full"
    config.stages.full.optimizer.schedule = "cosine"
    config.evaluate_every = config.sheet_every = config.checkpoint_every = 200
    config.keep_checkpoints = 1
    return config


def _stage(steps, encoder, final=0.0, offsets=0.0, modes=0.0):
    """Four ordinary faces and twenty of the population a step; what has rate 0 is left as it is."""
    result = stage(steps, synthetic=4, photos=20, rate=encoder)
    result.supervised.update(
        pixels=0.5, keypoints=3.0, rotation=200.0, depth=50.0,
        identity=3.0, expression=6.0, reflectance=1000.0, shading=30.0,
    )
    level = dict(photo=200.0, sparse=0.3, keypoints=3.0, reg=0.01, rstd=1.0, contour="pose")
    result.base.update(level)
    result.full.update(level, smo=1e3, ref=200.0, glo=300.0, sta=2.4)
    result.average = 0.98
    result.optimizer.schedule = "constant"
    result.optimizer.warmup = 20
    result.optimizer.groups = {
        "encoder": {"prefix": "encoder", "rate": encoder},
        "final": {"prefix": "final", "rate": final},
        "geometry_offset": {"prefix": "correctives/geometry/offset", "rate": offsets},
        "geometry_modes": {"prefix": "correctives/geometry/modes", "rate": modes},
        "reflectance_offset": {"prefix": "correctives/reflectance/offset", "rate": 0.03 * offsets},
        "reflectance_modes": {"prefix": "correctives/reflectance/modes", "rate": 0.1 * modes},
    }
    return result
