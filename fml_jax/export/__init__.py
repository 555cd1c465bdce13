"""Reconstructions as files: meshes, numbers, pages."""

from fml_jax.export.cameras import photo_camera
from fml_jax.export.code_files import read_code_file
from fml_jax.export.formats import FORMATS
from fml_jax.export.loading import load_face
from fml_jax.export.morphable import export_face_model
from fml_jax.export.saving import save_reconstruction

__all__ = ["FORMATS", "export_face_model", "load_face", "photo_camera", "read_code_file", "save_reconstruction"]
