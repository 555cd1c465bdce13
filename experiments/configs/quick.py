"""The config `quick` of the package, for commands that name this file."""

from fml_jax.configs.quick import get_config

__all__ = ["get_config"]
