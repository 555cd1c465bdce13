"""A first run that ends in minutes on two cores: the light encoder on a few synthetic faces.

    fml-prepare --layout=synthetic --count=2000 --output=data/quick
    fml-train --config=quick --workdir=runs/quick

The weights are good for trying the tools, not for reconstructing faces.
"""

from ml_collections import ConfigDict

from fml_jax.configs.common import defaults, stage


def get_config() -> ConfigDict:
    """The settings of the run."""
    config = defaults()
    config.data.update(synthetic="data/quick")
    config.stage_order = ("synthetic",)
    config.stages = {"synthetic": stage(steps=300, synthetic=32, photos=0, learning_rate=1e-3)}
    config.checkpoint_every = 100
    return config
