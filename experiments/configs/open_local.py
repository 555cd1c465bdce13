"""The config `open_local` of the package, for commands that name this file."""

from fml_jax.configs.open_local import get_config

__all__ = ["get_config"]
