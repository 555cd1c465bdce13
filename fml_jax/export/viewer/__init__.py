"""A page that shows faces in 3D, in a browser and without a network."""

from typing import TYPE_CHECKING

from fml_jax.late_names import late_names

if TYPE_CHECKING:
    from fml_jax.export.viewer.single_page import write_viewer as write_viewer

_MODULES = {"write_viewer": "fml_jax.export.viewer.single_page"}
__all__ = list(_MODULES)
__getattr__ = late_names(__name__, _MODULES)
