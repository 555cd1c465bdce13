"""From photos to reconstructions."""

from typing import TYPE_CHECKING

from fml_jax.late_names import late_names

if TYPE_CHECKING:
    from fml_jax.reconstruction.answers import DroppedFace as DroppedFace
    from fml_jax.reconstruction.answers import FaceStream as FaceStream
    from fml_jax.reconstruction.answers import Failure as Failure
    from fml_jax.reconstruction.answers import Reconstructions as Reconstructions
    from fml_jax.reconstruction.prediction import Prediction as Prediction
    from fml_jax.reconstruction.prediction import TrainedNetwork as TrainedNetwork
    from fml_jax.reconstruction.prediction import load_network as load_network
    from fml_jax.reconstruction.prediction import predict as predict
    from fml_jax.reconstruction.reconstruction import Reconstruction as Reconstruction
    from fml_jax.reconstruction.reconstructor import Reconstructor as Reconstructor

_MODULES = {
    "DroppedFace": "fml_jax.reconstruction.answers",
    "FaceStream": "fml_jax.reconstruction.answers",
    "Failure": "fml_jax.reconstruction.answers",
    "Prediction": "fml_jax.reconstruction.prediction",
    "Reconstruction": "fml_jax.reconstruction.reconstruction",
    "Reconstructions": "fml_jax.reconstruction.answers",
    "Reconstructor": "fml_jax.reconstruction.reconstructor",
    "TrainedNetwork": "fml_jax.reconstruction.prediction",
    "load_network": "fml_jax.reconstruction.prediction",
    "predict": "fml_jax.reconstruction.prediction",
}
__all__ = list(_MODULES)
__getattr__ = late_names(__name__, _MODULES)
