"""Shows what fml_jax does: 3D faces of a bundled photo and, if you like, of your own.

    fml-demo
    fml-demo --photo=photo.jpg
    fml-demo --photo=photo.jpg --face_model=flame.npz --weights=runs/flame/weights.npz

The results of earlier photos are removed from the output folder; photos are never touched. Without
--photo, the environment variable FML_DEMO_PHOTO may name the photo (`make demo PHOTO=…` sets it).
"""

import importlib.util
import os
from pathlib import Path

from absl import flags

from fml_jax.errors import InputError
from fml_jax.files import checked_path, output_folder
from fml_jax.launchers.command_line import define_face_model_flag, run_launcher
from fml_jax.launchers.reconstruct import reconstruct_into

PHOTO_VARIABLE = "FML_DEMO_PHOTO"

_FLAGS = flags.FlagValues()
_PHOTO = flags.DEFINE_string("photo", None, "A photo of your own, or a folder of photos.", flag_values=_FLAGS)
_OUTPUT = flags.DEFINE_string("output", "out/demo", "Folder for the results.", flag_values=_FLAGS)
_FACE_MODEL = define_face_model_flag(_FLAGS)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "A weights.npz of fml-train instead of the network of the package.", flag_values=_FLAGS
)


def main() -> int:
    """Reconstructs the photos; returns the exit status."""
    own = _PHOTO.value if _PHOTO.value is not None else os.environ.get(PHOTO_VARIABLE)
    bundled = _bundled_photo()
    places = ([] if bundled is None else [bundled]) + ([checked_path(own)] if own else [])
    if not places:
        raise InputError("the bundled photo needs scikit-image; run: pip install scikit-image, or give --photo=PATH")
    arguments = {"weights": _WEIGHTS.value, "face_model": _FACE_MODEL.value}
    return reconstruct_into(output_folder(_OUTPUT.value), places, arguments=arguments, only=True)


def _bundled_photo() -> Path | None:
    """scikit-image's astronaut, where it is installed."""
    package = importlib.util.find_spec("skimage")
    photos = [Path(place, "data", "astronaut.png") for place in (package and package.submodule_search_locations) or ()]
    return next((photo for photo in photos if photo.is_file()), None)


def run() -> None:
    """The command `fml-demo`."""
    run_launcher(main, _FLAGS)
