"""The face model: base level, correctives, mesh and landmarks."""

from fml_jax.face_model.base import BaseModel, geometry, reflectance, restrict
from fml_jax.face_model.correctives import Corrections, Correctives, final_geometry, final_reflectance, init_correctives
from fml_jax.face_model.files import FacePart, load_arkit_shapes, load_face_model, load_face_parts
from fml_jax.face_model.landmarks import landmarks68, landmarks478
from fml_jax.face_model.learned import FaceModel, corrections, load_learned_model, random_face, save_learned_model

__all__ = [
    "BaseModel",
    "Corrections",
    "Correctives",
    "FaceModel",
    "FacePart",
    "corrections",
    "final_geometry",
    "final_reflectance",
    "geometry",
    "init_correctives",
    "landmarks68",
    "landmarks478",
    "load_arkit_shapes",
    "load_face_model",
    "load_face_parts",
    "load_learned_model",
    "random_face",
    "reflectance",
    "restrict",
    "save_learned_model",
]
