"""The paper's training (its section 7, supplement 1): AlexNet, AdaDelta, batches of 5 photos, C = 500 each.

    fml-train --config=paper --workdir=runs/paper \
        --config.data.photos=CORPUS

The base level first, 200,000 steps, then everything, 190,000 steps. Meant for a GPU: two CPU cores would
take three to four days, and it has not been run to its end here. docs/paper_to_code.md says how each number was read.
"""

from fml_jax.configs.common import defaults, stage


def get_config():
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


def _stage(steps, encoder, final, geometry, reflectance):
    """Five photos a step, and AdaDelta with these rates; what has rate 0 is left as it is."""
    result = stage(steps, synthetic=0, photos=5, rate=encoder)
    result.score = 0.01
    result.average = 0.0  # the paper tells of none
    result.optimizer.update(name="adadelta", schedule="constant", warmup=0, clip=0.0, rho=0.95, eps=1e-6)
    result.optimizer.groups = {
        "encoder": {"prefix": "encoder", "rate": encoder},
        "final": {"prefix": "final", "rate": final},
        "geometry": {"prefix": "correctives/geometry", "rate": geometry},
        "reflectance": {"prefix": "correctives/reflectance", "rate": reflectance},
    }
    return result
