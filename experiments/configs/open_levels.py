"""The config `open_levels` of the package, for commands that name this file."""

from fml_jax.configs.open_levels import get_config

__all__ = ["get_config"]
