"""The config `paper` of the package, for commands that name this file."""

from fml_jax.configs.paper import get_config

__all__ = ["get_config"]
