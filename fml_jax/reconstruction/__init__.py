"""From photos to reconstructions."""

from fml_jax.reconstruction.answers import DroppedFace, FaceStream, Failure, Reconstructions
from fml_jax.reconstruction.prediction import Prediction, TrainedNetwork, load_network, predict
from fml_jax.reconstruction.reconstruction import Reconstruction
from fml_jax.reconstruction.reconstructor import Reconstructor

__all__ = [
    "DroppedFace",
    "FaceStream",
    "Failure",
    "Prediction",
    "Reconstruction",
    "Reconstructions",
    "Reconstructor",
    "TrainedNetwork",
    "load_network",
    "predict",
]
