"""What every training config begins with. `fml_jax/training/config.py` describes the fields and has their defaults."""

from ml_collections import ConfigDict

from fml_jax.training.config import GroupConfig, OptimizerConfig, RunConfig, StageConfig, as_dict

# Weights with which the parts of a known code contribute about equally to the supervised loss.
CODE_WEIGHTS = {
    "pixels": 0.5,
    "keypoints": 3.0,
    "rotation": 200.0,
    "depth": 50.0,
    "identity": 3.0,
    "expression": 6.0,
    "reflectance": 1000.0,
    "shading": 30.0,
}


def defaults() -> ConfigDict:
    """A run without stages; `stage_order` names those that are trained, `stages` holds them."""
    return ConfigDict(as_dict(RunConfig()))


def stage(steps: int, synthetic: int, photos: int, *, learning_rate: float) -> ConfigDict:
    """A stage of the base level that trains all parameters with Adam.

    Args:
      synthetic: rows of a batch with known codes.
      photos: rows of a batch with landmarks alone.
    """
    groups = {"network": GroupConfig("", learning_rate)}
    optimizer = OptimizerConfig(groups, warmup=min(200, steps // 10))
    return ConfigDict(as_dict(StageConfig(optimizer, steps=steps, synthetic=synthetic, photos=photos)))


def groups(learning_rates: dict[str, float]) -> dict[str, dict]:
    """Parameter groups by the prefixes of their parameters' names; those with rate 0 stay constant."""
    names = {prefix: prefix.removeprefix("correctives/").replace("/", "_") for prefix in learning_rates}
    return {names[prefix]: as_dict(GroupConfig(prefix, rate)) for prefix, rate in learning_rates.items()}
