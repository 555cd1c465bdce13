"""Trains the network that the package ships: the light encoder, first on synthetic faces, then on photos too.

    fml-prepare --layout=synthetic --count=40000 --seed=3 --input=PHOTOS --output=data/synthetic
    fml-prepare --layout=synthetic --count=400 --seed=1 --input=PHOTOS --output=data/synthetic_validation
    fml-prepare --layout=lfw --input=PHOTOS --output=data/photos
    fml-train --config=open_light --workdir=runs/open_light

Up to "deepened", 27,750 steps of 64 crops: five hours on two cores. "quickened", 5,829 of 256: six minutes on a
GPU, four hours on two cores. "annealed", 3,600 of 64: fifty minutes on two cores. Then fml-fit-score;
docs/results.md has what came out.

The shipped weights come from several runs, never from this file from start to end:

- The first three stages saw 23,000 of the synthetic faces; the keypoints' layers, which had half their channels there,
  started afresh with the fourth. "turned" was told at step 3,469 that it would end at 6,000, not 7,500.
- "sharpened" and all later stages were runs of their own, each from weights kept as float16 (--config.start_from),
  with 32,000 other faces (prepare's --seed=11) and --config.seed=17, 23, 29, 37 and 41. "sharpened" was told at step
  883 that it would end at 4,300, not 8,000; "deepened" began with the mean of the two before it.
- Up to "deepened" the encoder had two residual blocks on its map of 15 (depths 1, 2, 1). The second was taken out of
  the weights, and the next one given its name, before "quickened".
- "quickened" saw 31,300 of the faces; these and all photos were WebP files of a quarter of the bytes. It was stopped
  at step 5,829 of 8,800, with the rate still at a quarter of its top; here the rate comes down to a hundredth by then.
"""

from fml_jax.configs.common import CODE_WEIGHTS, defaults, stage


def get_config():
    config = defaults()
    config.data.update(
        synthetic="data/synthetic", synthetic_validation="data/synthetic_validation", photos="data/photos"
    )
    config.stage_order = (
        "synthetic",
        "both",
        "settled",
        "restless",
        "last",
        "turned",
        "sharpened",
        "polished",
        "deepened",
        "quickened",
        "annealed",
    )
    config.stages.synthetic = stage(steps=2500, synthetic=64, photos=0, rate=1e-3)
    for name, steps in (("both", 3500), ("settled", 3000), ("restless", 1000), ("last", 3200)):
        config.stages[name] = stage(steps=steps, synthetic=40, photos=24, rate=1e-3)
    for name in ("synthetic", "both", "settled"):
        _weigh(config.stages[name], keypoints=3.0, photo=200.0, rotation=200.0, identity=3.0, reflectance=1000.0)
    for name in ("restless", "last"):
        _weigh(config.stages[name], keypoints=5.0, photo=400.0, rotation=300.0, identity=4.0, reflectance=700.0)
    config.stages.turned = stage(steps=6000, synthetic=48, photos=16, rate=2e-3)
    _weigh(config.stages.turned, keypoints=5.0, photo=400.0, rotation=300.0, identity=8.0, reflectance=700.0)
    config.stages.sharpened = stage(steps=4300, synthetic=54, photos=10, rate=2e-3)
    _weigh(config.stages.sharpened, keypoints=5.0, photo=400.0, rotation=300.0, identity=16.0, reflectance=700.0)
    config.stages.sharpened.optimizer.warmup = 50
    config.stages.polished = stage(steps=450, synthetic=56, photos=8, rate=3e-4)
    _weigh(config.stages.polished, keypoints=5.0, photo=400.0, rotation=300.0, identity=40.0, reflectance=700.0)
    config.stages.polished.average = 0.99
    config.stages.polished.optimizer.warmup = 20
    config.stages.deepened = stage(steps=3800, synthetic=56, photos=8, rate=2e-3)
    _weigh(config.stages.deepened, keypoints=5.0, photo=400.0, rotation=300.0, identity=20.0, reflectance=700.0)
    config.stages.deepened.average = 0.998
    config.stages.deepened.optimizer.warmup = 50
    config.stages.quickened = stage(steps=5829, synthetic=192, photos=64, rate=3e-3)
    config.stages.annealed = stage(steps=3600, synthetic=48, photos=16, rate=1e-3)
    for name in ("quickened", "annealed"):
        _weigh(config.stages[name], keypoints=5.0, photo=400.0, rotation=300.0, identity=20.0, reflectance=700.0)
        config.stages[name].average = 0.998
        config.stages[name].optimizer.warmup = 200
    for name in ("turned", "sharpened", "polished", "deepened", "quickened", "annealed"):
        config.stages[name].optimizer.name = "muon"
    for name in ("synthetic", "both", "restless"):
        config.stages[name].optimizer.schedule = "constant"
    for name in ("settled", "last"):
        config.stages[name].optimizer.warmup = 50
    return config


def _weigh(each, keypoints, photo, rotation, identity, reflectance):
    """So that every part of the code weighs about alike, and keypoints, which the rest is read from, a little more."""
    own = {"keypoints": keypoints, "rotation": rotation, "identity": identity, "reflectance": reflectance}
    each.supervised.update(CODE_WEIGHTS | own)
    each.base.update(photo=photo, sparse=0.3, keypoints=keypoints, reg=0.01, rstd=1.0, contour="pose")
