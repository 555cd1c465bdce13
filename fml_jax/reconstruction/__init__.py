"""From photos to reconstructions."""

from fml_jax.reconstruction.reconstruction import Reconstruction
from fml_jax.reconstruction.reconstructor import Reconstructor

__all__ = ["Reconstruction", "Reconstructor"]
