"""A first run that ends in minutes on two cores: the light encoder on a few synthetic faces.

    fml-prepare --layout=synthetic --count=2000 --output=data/quick
    fml-train --config=quick --workdir=runs/quick

In the first 300 steps of the run behind the shipped weights (a block deeper, batches twice as large) the loss fell from
58 (step 20) to 23. The weights are good for trying things out, not for faces.
"""

from fml_jax.configs.common import defaults, stage


def get_config():
    config = defaults()
    config.data.update(synthetic="data/quick")
    config.stage_order = ("synthetic",)
    config.stages = {"synthetic": stage(steps=300, synthetic=32, photos=0, rate=1e-3)}
    config.checkpoint_every = 100
    return config
