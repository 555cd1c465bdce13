"""Trains the final level of the network that the package ships: corrective modes, learned from photos and renders.

    fml-train --config=open_levels --workdir=runs/open_levels

The data is that of `open_gpu`, packed. It begins with the shipped network: encoder, local stages and final level. Both
levels' colours begin with those that are solved on each crop, so that the correctives learn what the base level cannot
represent. What of a colour is light is learned from renders, whose reflectance is known, and from several photos of a
person, which have one reflectance.

On two cores beside other programs 24 crops a second were trained on: the 1,400 steps of 20 photos and 16 renders then
take 35 minutes. With `--config.stages.levels.stored=300` a step takes a third of that. The config `open_gpu` trains
the whole network from nothing; OPEN_DEEP.md in fml_jax/reconstruction has the runs of the shipped one.
"""

from ml_collections import ConfigDict

from fml_jax.configs.common import defaults, groups, stage
from fml_jax.reconstruction.open_network import OPEN_ENCODER, OPEN_WEIGHTS


def get_config() -> ConfigDict:
    """The settings of the run."""
    config = defaults()
    config.data.update(synthetic="data/synthetic.npz", synthetic_validation="", photos="data/photos.npz")
    config.encoder, config.start_from = OPEN_ENCODER, str(OPEN_WEIGHTS)
    config.local_stages, config.solve_colours = True, True
    config.correctives.update(kind="linear", geometry=100, reflectance=100, subspace="beyond", inputs="residuals")
    config.stages = {"levels": _stage(1400)}
    config.stage_order = tuple(config.stages)
    return config


def _stage(steps: int) -> ConfigDict:
    """A stage in which the final level is learned."""
    result = stage(steps, synthetic=16, photos=20, learning_rate=1e-3)
    result.level = "full"
    result.supervised.update(dict.fromkeys(result.supervised, 0.0))
    result.full.update(photo=300.0, sparse=0.0, reg=0.01, rstd=1.0, contour="pose")
    result.full.update(smo=1e4, ref=600.0, glo=1500.0, sta=10.0)
    result.skin.update(known=400.0, agreement=60.0)
    result.local.update(points=0.0, distance=0.0)
    result.score, result.ema_decay = 0.0, 0.99
    rates = {
        "encoder": 0.0,
        "local": 0.0,
        "final/residuals": 1e-3,
        "final/outputs": 3e-4,
        "correctives/geometry/offset": 0.06,
        "correctives/geometry/modes": 1.2e-3,
        "correctives/reflectance/offset": 3e-4,
        "correctives/reflectance/modes": 2e-4,
    }
    result.optimizer.groups = groups(rates)
    return result
