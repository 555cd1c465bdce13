"""Reconstructions as files: meshes, numbers, pages."""

from fml_jax.export.code_files import read_code_file
from fml_jax.export.saving import save_reconstruction

__all__ = ["read_code_file", "save_reconstruction"]
