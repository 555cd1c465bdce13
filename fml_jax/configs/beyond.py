"""Two stages on a population whose geometry and reflectance lie outside the base model's span.

    fml-prepare --layout=synthetic --beyond --notruth --count=2400 --seed=2 --input=PHOTOS --output=data/beyond
    fml-prepare --layout=synthetic --beyond --count=200 --seed=1 --input=PHOTOS --output=data/beyond_validation
    fml-train --config=beyond --workdir=runs/beyond

The base level begins with the shipped network and is taught what of each face the base model can say (its code). The
final level sees crops alone, as it would photos: nothing tells it of the hidden modes.

About five minutes on two cores. On unseen faces the final level then has 0.69 of the base level's geometric error, 0.77 of its
reflectance error and 0.71 of its photometric error.
"""

from fml_jax.configs.common import CODE_WEIGHTS, defaults, stage
from fml_jax.reconstruction.prediction import OPEN_WEIGHTS


def get_config():
    config = defaults()
    config.data.update(synthetic="data/beyond", photos="data/beyond", synthetic_validation="data/beyond_validation")
    config.start_from = str(OPEN_WEIGHTS)
    config.correctives.update(kind="linear", geometry=16, reflectance=16, subspace="beyond")
    config.stage_order = ("base", "full")
    config.stages.base = _stage(steps=600, synthetic=24, photos=0, encoder=3e-4)
    config.stages.full = _stage(steps=330, synthetic=6, photos=20, encoder=1e-5, final=1e-5, offsets=0.15, modes=2e-3)
    config.stages.full.level = "full"
    config.evaluate_every = config.sheet_every = config.checkpoint_every = 310
    config.keep_checkpoints = 1
    return config


def _stage(steps, synthetic, photos, encoder, final=0.0, offsets=0.0, modes=0.0):
    """A stage of crops with known codes and of crops taken for photos; what has rate 0 is left as it is."""
    result = stage(steps, synthetic, photos, rate=encoder)
    result.supervised.update(CODE_WEIGHTS)
    result.full.update(
        photo=200.0,
        sparse=0.03,
        keypoints=0.0,
        reg=0.01,
        rstd=1.0,
        contour="pose",
        smo=1e3,
        ref=200.0,
        glo=300.0,
        sta=2.0,
    )
    result.average = 0.98
    result.optimizer.warmup = 20
    # Offsets are millimetres and colours of all faces alike; what is each face's own comes after them. Reflectance
    # is slow, since what it has taken for paint is lost to geometry as shading.
    result.optimizer.groups = {
        "encoder": {"prefix": "encoder", "rate": encoder},
        "final": {"prefix": "final", "rate": final},
        "geometry_offset": {"prefix": "correctives/geometry/offset", "rate": offsets},
        "geometry_modes": {"prefix": "correctives/geometry/modes", "rate": modes},
        "reflectance_offset": {"prefix": "correctives/reflectance/offset", "rate": offsets / 300},
        "reflectance_modes": {"prefix": "correctives/reflectance/modes", "rate": 0.03 * modes},
    }
    return result
