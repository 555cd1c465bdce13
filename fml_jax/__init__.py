"""3D faces from photos, with a face model that is learned.

import fml_jax

reconstructor = fml_jax.Reconstructor.default()
for face in reconstructor("photo.jpg"):
    print(face.vertices.shape, face.score)
    face.save("out")
"""

import fml_jax.opencv  # noqa: F401 (imported first: it explains what OpenCV lacks)
from fml_jax.codes import FaceCode
from fml_jax.errors import InputError
from fml_jax.export import read_code_file
from fml_jax.face_model import BaseModel, geometry, load_arkit_shapes, load_face_model, reflectance
from fml_jax.fitting.colours import ColourSolver
from fml_jax.image_formation.points import form_points
from fml_jax.reconstruction import (
    Prediction,
    Reconstruction,
    Reconstructions,
    Reconstructor,
    TrainedNetwork,
    load_network,
    predict,
)

__version__ = "0.2.0"

__all__ = [
    "BaseModel",
    "ColourSolver",
    "FaceCode",
    "InputError",
    "Prediction",
    "Reconstruction",
    "Reconstructions",
    "Reconstructor",
    "TrainedNetwork",
    "form_points",
    "geometry",
    "load_arkit_shapes",
    "load_face_model",
    "load_network",
    "predict",
    "read_code_file",
    "reflectance",
]
