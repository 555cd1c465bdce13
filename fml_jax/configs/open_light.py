"""Trains a network on CPUs: the light encoder, first on synthetic faces, then on photos too.

    fml-prepare --layout=synthetic --count=40000 --seed=3 --input=PHOTOS --output=data/synthetic
    fml-prepare --layout=synthetic --count=400 --seed=1 --input=PHOTOS --output=data/synthetic_validation
    fml-prepare --layout=lfw --input=PHOTOS --output=data/photos
    fml-train --config=open_light --workdir=runs/open_light

The stages up to "identity_weight_20" have 27,750 steps of 64 crops, five hours on two cores. "batches_of_256" takes six
minutes on a GPU or four hours on two cores, "final_decay" fifty minutes on two cores. fml-fit-score then fits the crop
score. The package's network was trained by the config `open_gpu`;
docs/notes/trials.md describes the runs of the first edition's network, which differed from this file.
"""

from ml_collections import ConfigDict

from fml_jax.configs.common import CODE_WEIGHTS, defaults, stage


def get_config() -> ConfigDict:
    """The settings of the run."""
    config = defaults()
    config.data.update(
        synthetic="data/synthetic", synthetic_validation="data/synthetic_validation", photos="data/photos"
    )
    stages = {**_adam_stages(), **_muon_stages()}
    config.stage_order = tuple(stages)
    config.stages = stages
    return config


def _adam_stages() -> dict[str, ConfigDict]:
    stages = {"synthetic": stage(2500, synthetic=64, photos=0, learning_rate=1e-3)}
    lengths = {"photos_added": 3500, "photos_added_decay": 3000, "keypoints_weight_5": 1000}
    for name, steps in {**lengths, "keypoints_weight_5_decay": 3200}.items():
        stages[name] = stage(steps, synthetic=40, photos=24, learning_rate=1e-3)
    for name, each in stages.items():
        if name.startswith("keypoints_weight_5"):
            _weigh(each, keypoints=5.0, photo=400.0, rotation=300.0, identity=4.0, reflectance=700.0)
        else:
            _weigh(each, keypoints=3.0, photo=200.0, rotation=200.0, identity=3.0, reflectance=1000.0)
        if name.endswith("_decay"):
            each.optimizer.warmup = 50
        else:
            each.optimizer.schedule = "constant"
    return stages


def _muon_stages() -> dict[str, ConfigDict]:
    stages = {
        "muon": stage(6000, synthetic=48, photos=16, learning_rate=2e-3),
        "identity_weight_16": stage(4300, synthetic=54, photos=10, learning_rate=2e-3),
        "identity_weight_40": stage(450, synthetic=56, photos=8, learning_rate=3e-4),
        "identity_weight_20": stage(3800, synthetic=56, photos=8, learning_rate=2e-3),
        "batches_of_256": stage(5829, synthetic=192, photos=64, learning_rate=3e-3),
        "final_decay": stage(3600, synthetic=48, photos=16, learning_rate=1e-3),
    }
    identity = {"muon": 8.0, "identity_weight_16": 16.0, "identity_weight_40": 40.0}
    warmup = {"identity_weight_16": 50, "identity_weight_40": 20, "identity_weight_20": 50}
    decay = {"muon": 0.999, "identity_weight_16": 0.999, "identity_weight_40": 0.99}
    for name, each in stages.items():
        _weigh(each, keypoints=5.0, photo=400.0, rotation=300.0, identity=identity.get(name, 20.0), reflectance=700.0)
        each.ema_decay = decay.get(name, 0.998)
        each.optimizer.name = "muon"
        each.optimizer.warmup = warmup.get(name, 200)
    return stages


def _weigh(
    each: ConfigDict, *, keypoints: float, photo: float, rotation: float, identity: float, reflectance: float
) -> None:
    """Sets weights with which all parts of the code contribute about equally, and keypoints somewhat more."""
    own = {"keypoints": keypoints, "rotation": rotation, "identity": identity, "reflectance": reflectance}
    each.supervised.update(CODE_WEIGHTS | own)
    each.base.update(photo=photo, sparse=0.3, keypoints=keypoints, reg=0.01, rstd=1.0, contour="pose")
