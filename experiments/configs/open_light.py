"""The config `open_light` of the package, for commands that name this file."""

from fml_jax.configs.open_light import get_config

__all__ = ["get_config"]
