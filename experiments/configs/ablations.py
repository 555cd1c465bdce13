"""The config `ablations` of the package, for commands that name this file."""

from fml_jax.configs.ablations import get_config

__all__ = ["get_config"]
