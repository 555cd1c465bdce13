"""Reconstructions as files: meshes, numbers, pages."""

from typing import TYPE_CHECKING

from fml_jax.late_names import late_names

if TYPE_CHECKING:
    from fml_jax.export.cameras import photo_camera as photo_camera
    from fml_jax.export.code_files import read_code_file as read_code_file
    from fml_jax.export.formats import FORMATS as FORMATS
    from fml_jax.export.loading import load_face as load_face
    from fml_jax.export.morphable import export_face_model as export_face_model
    from fml_jax.export.saving import save_reconstruction as save_reconstruction

_MODULES = {
    "FORMATS": "fml_jax.export.formats",
    "export_face_model": "fml_jax.export.morphable",
    "load_face": "fml_jax.export.loading",
    "photo_camera": "fml_jax.export.cameras",
    "read_code_file": "fml_jax.export.code_files",
    "save_reconstruction": "fml_jax.export.saving",
}
__all__ = list(_MODULES)
__getattr__ = late_names(__name__, _MODULES)
