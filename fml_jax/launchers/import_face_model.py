"""Turns a face model of your own into this project's model file.

    fml-import-face-model --source=bfm2009 --path=01_MorphableModel.mat --output=bfm.npz
    fml-import-face-model --source=bfm2017 --path=model2019_bfm.h5 --output=bfm.npz
    fml-import-face-model --source=flame --path=FLAME2023.pkl --output=flame.npz
    fml-import-face-model --source=ict --path=ICT-FaceKit --output=ict.npz
    fml-import-face-model --source=meshes --path=FOLDER --landmarks=points.txt --output=mine.npz

Landmarks and masks are carried over from the open model, whose surface is bent onto the new one; so are
expressions and reflectance where the model has none. The command prints what it found, carried over and
left out, and writes a page beside the file (bfm.html) that shows mean, modes, landmarks and masks:
look at it before training. third_party/face_models/ says where the models are obtained and under which
terms. Other commands take the file with --face_model=bfm.npz.

A landmark file has 68 numbers of vertices, from 0, in iBUG's order; -1 stands for an unknown one.
Nothing in a model file is run, and no more is read than its size allows for.
"""

from pathlib import Path

from absl import flags

from fml_jax.errors import InputError
from fml_jax.launchers.command_line import run_launcher

_FLAGS = flags.FlagValues()
_SOURCE = flags.DEFINE_enum(
    "source",
    None,
    ("bfm2009", "bfm2017", "flame", "ict", "meshes"),
    "The layout; bfm2017 is also that of 2019, flame that of 2020 and 2023.",
    required=True,
    flag_values=_FLAGS,
)
_PATH = flags.DEFINE_string("path", None, "The model's file or folder.", required=True, flag_values=_FLAGS)
_OUTPUT = flags.DEFINE_string("output", None, "The file to write: NAME.npz.", required=True, flag_values=_FLAGS)
_LANDMARKS = flags.DEFINE_string(
    "landmarks", None, "A file of 68 numbers of vertices, which replace the carried landmarks.", flag_values=_FLAGS
)
_IDENTITY, _EXPRESSION, _REFLECTANCE = (
    flags.DEFINE_integer(
        f"{kind}_modes", count, f"How many modes of {kind} to keep; 0 keeps all.", lower_bound=0, flag_values=_FLAGS
    )
    for kind, count in (("identity", 80), ("expression", 64), ("reflectance", 80))
)


def main() -> int:
    """Writes the file and its page; returns the exit status."""
    from fml_jax.codes import CodeSizes
    from fml_jax.face_model.files import load_face_model
    from fml_jax.files import checked_path, output_folder
    from fml_jax.importers.page import write_import_page
    from fml_jax.importers.sources import import_face_model

    output = checked_path(_OUTPUT.value)
    if output.suffix != ".npz":
        raise InputError(f"--output={output}: a face model is an npz file; let the name end in .npz")
    output_folder(output.parent)
    converted = import_face_model(
        _SOURCE.value,
        checked_path(_PATH.value),
        output,
        landmarks=None if _LANDMARKS.value is None else Path(_LANDMARKS.value),
        sizes=CodeSizes(_IDENTITY.value, _EXPRESSION.value, _REFLECTANCE.value),
        progress=True,
    )
    model = load_face_model(output)
    write_import_page(output.with_suffix(".html"), model, converted.report)
    print("\n".join(f"- {line}" for line in converted.report))
    print(f"{output}: {model.name}, {output.stat().st_size / 1e6:.0f} MB")
    print(f"look at it: {output.with_suffix('.html')}")
    return 0


def run() -> None:
    """The command `fml-import-face-model`."""
    run_launcher(main, _FLAGS)
