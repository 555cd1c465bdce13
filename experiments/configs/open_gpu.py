"""The config `open_gpu` of the package, for commands that name this file."""

from fml_jax.configs.open_gpu import get_config

__all__ = ["get_config"]
