"""Two stages on a population whose geometry and reflectance lie outside the base model's span.

    fml-prepare --layout=synthetic --beyond --notruth --count=2400 --seed=2 --input=PHOTOS --output=data/beyond
    fml-prepare --layout=synthetic --beyond --count=200 --seed=1 --input=PHOTOS --output=data/beyond_validation
    fml-train --config=beyond --workdir=runs/beyond

The base level begins with the shipped network and is trained on the codes of the faces, which are the part that the
base model can represent. The final level is trained on crops alone, as on photos: no target contains the hidden modes.

The run takes about 20 minutes on one core. docs/results.md ("Geometry outside the model's span") has the errors of both
levels on unseen faces.
"""

from ml_collections import ConfigDict

from fml_jax.configs.common import CODE_WEIGHTS, defaults, groups, stage
from fml_jax.reconstruction.open_network import OPEN_ENCODER, OPEN_WEIGHTS


def get_config() -> ConfigDict:
    """The settings of the run."""
    config = defaults()
    config.data.update(synthetic="data/beyond", photos="data/beyond", synthetic_validation="data/beyond_validation")
    config.encoder, config.start_from = OPEN_ENCODER, str(OPEN_WEIGHTS)
    config.correctives.update(kind="linear", geometry=16, reflectance=16, subspace="beyond")
    config.stage_order = ("base", "full")
    full = {"final": 1e-5, "offsets": 0.15, "modes": 2e-3}
    config.stages = {
        "base": _stage(steps=600, synthetic=24, photos=0, encoder=3e-4, final=0.0, offsets=0.0, modes=0.0),
        "full": _stage(steps=330, synthetic=6, photos=20, encoder=1e-5, **full),
    }
    config.stages.full.level = "full"
    config.evaluate_every = config.sheet_every = config.checkpoint_every = 310
    config.keep_checkpoints = 1
    return config


def _stage(
    *, steps: int, synthetic: int, photos: int, encoder: float, final: float, offsets: float, modes: float
) -> ConfigDict:
    """A stage of crops with known codes and of crops taken as photos, with the learning rates of its groups."""
    result = stage(steps, synthetic, photos, learning_rate=encoder)
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
    result.ema_decay = 0.98
    result.optimizer.warmup = 20
    # Offsets, in mm and in colours of all faces alike, are learned before the modes of single faces. Reflectance is
    # learned slowly, since what it explains as paint is lost to geometry as shading.
    rates = {
        "encoder": encoder,
        "final": final,
        "correctives/geometry/offset": offsets,
        "correctives/geometry/modes": modes,
        "correctives/reflectance/offset": offsets / 300,
        "correctives/reflectance/modes": 0.03 * modes,
    }
    result.optimizer.groups = groups(rates)
    return result
