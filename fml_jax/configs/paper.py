"""The paper's training (its section 7, supplement 1): AlexNet, AdaDelta, batches of 5 photos, C = 500 each.

    fml-train --config=paper --workdir=runs/paper \
        --config.data.photos=CORPUS

The base level first, 200,000 steps, then everything, 190,000 steps. Meant for a GPU: two CPU cores would
take three to four days, and the run has not been completed. docs/paper_to_code.md explains how each number was derived.
"""

from ml_collections import ConfigDict

from fml_jax.configs.common import defaults, groups, stage


def get_config() -> ConfigDict:
    """The settings of the run."""
    config = defaults()
    config.encoder = "alexnet"
    config.detail = "fine"
    config.correctives.update(kind="linear", geometry=500, reflectance=500)
    config.stage_order = ("base", "full")

    base = _stage(steps=200_000, encoder=0.01, final=0.0, geometry=0.0, reflectance=0.0)
    # The paper's weights, its landmarks in crop widths: 1/240² for our squared pixels.
    base.base.update(photo=1.9, sparse=1.0 / 240**2, reg=3e-5, rstd=0.002, contour="rays")

    full = _stage(steps=190_000, encoder=0.001, final=0.1, geometry=0.005, reflectance=0.01)
    full.level = "full"
    full.full.update(
        photo=0.2, sparse=1.0 / 240**2, reg=0.003, rstd=0.002, smo=3.2e4, ref=13.0, glo=80.0, sta=0.08, contour="rays"
    )
    config.stages = {"base": base, "full": full}
    return config


def _stage(*, steps: int, encoder: float, final: float, geometry: float, reflectance: float) -> ConfigDict:
    """Five photos a step, and AdaDelta with these learning rates."""
    result = stage(steps, synthetic=0, photos=5, learning_rate=encoder)
    result.score = 0.01
    result.ema_decay = 0.0  # the paper mentions no average
    result.optimizer.update(name="adadelta", schedule="constant", warmup=0, clip=0.0, rho=0.95, eps=1e-6)
    rates = {"encoder": encoder, "final": final}
    rates |= {"correctives/geometry": geometry, "correctives/reflectance": reflectance}
    result.optimizer.groups = groups(rates)
    return result
