"""Shows the face of a photo under another light, or with another expression.

    fml-transfer --input=person.jpg --light=-1,1,1 --output=out
    fml-transfer --input=person.jpg --light=other.jpg --expression=other.jpg --output=out
    fml-transfer --input=person.jpg --expression=jawOpen:1,eyeBlinkLeft:0.5 --output=out

A light is another photo, or the direction of a lamp: x right, y up, z to the viewer. An expression is
another photo, or weights of ARKit's shapes. Of each photo the largest face counts. It writes the files
of fml-reconstruct for the changed face, and NAME_k_transfer.png: the photo, the face as it is, the
changed face. --formats chooses the files as in fml-reconstruct.
"""

from typing import Any

from absl import flags

from fml_jax.errors import InputError
from fml_jax.files import checked_path, output_folder
from fml_jax.launchers.command_line import define_face_model_flag, run_launcher

_FLAGS = flags.FlagValues()
_INPUT = flags.DEFINE_string("input", None, "The photo.", required=True, flag_values=_FLAGS)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the results.", required=True, flag_values=_FLAGS)
_LIGHT = flags.DEFINE_string("light", None, "A photo, or a lamp's direction x,y,z.", flag_values=_FLAGS)
_EXPRESSION = flags.DEFINE_string(
    "expression", None, "A photo, or weights of ARKit's shapes, NAME:WEIGHT,NAME:WEIGHT.", flag_values=_FLAGS
)
_FACE_MODEL = define_face_model_flag(_FLAGS)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "A weights.npz of fml-train instead of the network of the package.", flag_values=_FLAGS
)
_REFINE = flags.DEFINE_bool("refine", False, "Fit the faces to their photos first.", flag_values=_FLAGS)
_FORMATS = flags.DEFINE_list("formats", ["npz", "glb", "overlay"], "As in fml-reconstruct.", flag_values=_FLAGS)


def main() -> int:
    """Changes the face; returns the exit status."""
    if _LIGHT.value is None and _EXPRESSION.value is None:
        raise InputError("nothing to change; give --light or --expression, or both")
    from fml_jax.export.comparison import save_comparison
    from fml_jax.reconstruction import Reconstructor

    folder = output_folder(_OUTPUT.value)
    lamp_direction, weights = _numbers(_LIGHT.value), _weights(_EXPRESSION.value)
    reconstructor = Reconstructor(_WEIGHTS.value, face_model=_FACE_MODEL.value)

    def largest(path: str) -> Any:
        return reconstructor(checked_path(path), refine=_REFINE.value)[0]

    face = largest(_INPUT.value)
    changed = face
    if _LIGHT.value is not None:
        changed = changed.relit(largest(_LIGHT.value) if lamp_direction is None else lamp_direction)
    if _EXPRESSION.value is not None:
        changed = changed.with_expression(largest(_EXPRESSION.value) if weights is None else weights)
    changed.save(folder, formats=_FORMATS.value, overwrite=True)
    print(save_comparison(folder / f"{face.name}_{face.index}_transfer.png", face, changed))
    return 0


def _numbers(text: str | None) -> tuple[float, ...] | None:
    """Three numbers; None if the text is none, so that it names a photo."""
    try:
        numbers = tuple(map(float, (text or "").split(",")))
    except ValueError:
        return None
    return numbers if len(numbers) == 3 else None


def _weights(text: str | None) -> dict[str, float] | None:
    """Weights by name; None if the text is no list of NAME:WEIGHT, so that it names a photo."""
    pairs = [pair.split(":") for pair in (text or "").split(",")]
    try:
        return {name: float(weight) for name, weight in pairs}
    except ValueError:
        return None


def run() -> None:
    """The command `fml-transfer`."""
    run_launcher(main, _FLAGS)
