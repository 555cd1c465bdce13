"""The paper's base level: AlexNet, AdaDelta, batch 5, 200,000 steps on photos (supplement, section 1).

    python -m experiments.train --config=experiments/configs/paper.py --workdir=runs/paper \
        --config.data.photos=CORPUS

Meant for a GPU; it has not been run to its end here.
"""

from experiments.configs.common import defaults, stage


def get_config():
    config = defaults()
    config.encoder = "alexnet"
    config.detail = "fine"
    config.stage_order = ("base",)
    base = stage(steps=200_000, synthetic=0, photos=5, rate=0.01)
    # The paper's weights, its landmarks in crop widths: 1/240² for our squared pixels.
    base.base.update(photo=1.9, sparse=1.0 / 240**2, reg=3e-5, rstd=0.002, contour="rays")
    base.score = 0.01
    base.optimizer.update(name="adadelta", schedule="constant", warmup=0, clip=0.0, rho=0.95, eps=1e-6)
    config.stages = {"base": base}
    return config
