"""The config `beyond` of the package, for commands that name this file."""

from fml_jax.configs.beyond import get_config

__all__ = ["get_config"]
