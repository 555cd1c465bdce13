"""Reconstructions as files: meshes, numbers, a page."""

from fml_jax.export.code_files import read_code_file
from fml_jax.export.page import Page
from fml_jax.export.saving import save_reconstruction

__all__ = ["Page", "read_code_file", "save_reconstruction"]
