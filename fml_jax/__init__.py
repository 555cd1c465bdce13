"""3D faces from photos, with a face model that is learned.

import fml_jax

reconstructor = fml_jax.Reconstructor.default()
for face in reconstructor("photo.jpg"):
    print(face.vertices.shape, face.score)
    face.save("out")
"""

from typing import TYPE_CHECKING

import fml_jax.opencv  # noqa: F401 (imported first: it explains what OpenCV lacks)
from fml_jax.late_names import late_names

if TYPE_CHECKING:
    from fml_jax.codes import FaceCode as FaceCode
    from fml_jax.errors import InputError as InputError
    from fml_jax.export import load_face as load_face
    from fml_jax.export import read_code_file as read_code_file
    from fml_jax.face_model import BaseModel as BaseModel
    from fml_jax.face_model import geometry as geometry
    from fml_jax.face_model import load_arkit_shapes as load_arkit_shapes
    from fml_jax.face_model import load_face_model as load_face_model
    from fml_jax.face_model import reflectance as reflectance
    from fml_jax.fitting.colours import ColourSolver as ColourSolver
    from fml_jax.image_formation.points import form_points as form_points
    from fml_jax.reconstruction import Prediction as Prediction
    from fml_jax.reconstruction import Reconstruction as Reconstruction
    from fml_jax.reconstruction import Reconstructions as Reconstructions
    from fml_jax.reconstruction import Reconstructor as Reconstructor
    from fml_jax.reconstruction import TrainedNetwork as TrainedNetwork
    from fml_jax.reconstruction import load_network as load_network
    from fml_jax.reconstruction import predict as predict
    from fml_jax.reconstruction.editing import lamp as lamp

__version__ = "0.2.0"

_MODULES = {
    "BaseModel": "fml_jax.face_model",
    "ColourSolver": "fml_jax.fitting.colours",
    "FaceCode": "fml_jax.codes",
    "InputError": "fml_jax.errors",
    "Prediction": "fml_jax.reconstruction",
    "Reconstruction": "fml_jax.reconstruction",
    "Reconstructions": "fml_jax.reconstruction",
    "Reconstructor": "fml_jax.reconstruction",
    "TrainedNetwork": "fml_jax.reconstruction",
    "form_points": "fml_jax.image_formation.points",
    "geometry": "fml_jax.face_model",
    "lamp": "fml_jax.reconstruction.editing",
    "load_arkit_shapes": "fml_jax.face_model",
    "load_face": "fml_jax.export",
    "load_face_model": "fml_jax.face_model",
    "load_network": "fml_jax.reconstruction",
    "predict": "fml_jax.reconstruction",
    "read_code_file": "fml_jax.export",
    "reflectance": "fml_jax.face_model",
}
__all__ = list(_MODULES)
__getattr__ = late_names(__name__, _MODULES)
