"""The config `small` of the package, for commands that name this file."""

from fml_jax.configs.small import get_config

__all__ = ["get_config"]
