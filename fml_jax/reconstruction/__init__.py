"""From photos to reconstructions."""

from fml_jax.reconstruction.network import Reconstructor
from fml_jax.reconstruction.reconstruction import Reconstruction

__all__ = ["Reconstruction", "Reconstructor"]
