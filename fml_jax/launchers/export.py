"""Writes the face model as a linear morphable model, or the network as ONNX, for other people's software.

    fml-export --output=face_model.h5
    fml-export --model=runs/mine/face_model.npz --output=mine.npz
    fml-export --format=onnx --output=network.onnx

.h5 has the layout of the Basel Face Model 2017 (it needs h5py): shape, expression and colour, each
with mean, pcaBasis and pcaVariance. .npz has the same arrays. Units are mm and sRGB in [0, 1]. A
learned model's correctives become part of shape and colour, if they are linear.

--format=onnx (pip install 'fml_jax[onnx]') writes two files. network.onnx takes crops [batch, 240, 240, 3], RGB in
[0, 1], and returns vertices (mm), reflectance, lit colours, landmarks, scores and codes, of the final level where the
network has one. network_decoder.onnx takes such codes and returns their faces. examples/onnx_face.py runs both.
"""

from pathlib import Path

from absl import flags
from tqdm import tqdm

from fml_jax.errors import InputError
from fml_jax.files import checked_path, output_folder
from fml_jax.launchers.command_line import define_face_model_flag, run_launcher

_FLAGS = flags.FlagValues()
_MODEL = flags.DEFINE_string(
    "model", None, "A face model or learned face model instead of the one of the package.", flag_values=_FLAGS
)
_FACE_MODEL = define_face_model_flag(_FLAGS)
_OUTPUT = flags.DEFINE_string(
    "output", None, "The file: NAME.h5, NAME.npz or NAME.onnx.", required=True, flag_values=_FLAGS
)
_FORMAT = flags.DEFINE_enum(
    "format",
    "model",
    ["model", "onnx"],
    "model: the face model, as .h5 or .npz. onnx: the network and its decoder.",
    flag_values=_FLAGS,
)
_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "For onnx: a weights.npz of fml-train instead of the network of the package.",
    flag_values=_FLAGS,
)


def main() -> int:
    """Writes the files; returns the exit status."""
    for path in _onnx_files() if _FORMAT.value == "onnx" else [_model_file()]:
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


def _model_file() -> Path:
    from fml_jax.export.morphable import export_face_model

    if _WEIGHTS.value is not None:
        raise InputError("--weights goes with --format=onnx; --model names a face model")
    if _MODEL.value is not None and _FACE_MODEL.value is not None:
        raise InputError("--model and --face_model both name the model to export; give one of them")
    return export_face_model(_OUTPUT.value, _loaded(_MODEL.value or _FACE_MODEL.value))


def _onnx_files() -> list[Path]:
    path = checked_path(_OUTPUT.value)
    output_folder(path.parent)
    if path.suffix != ".onnx":
        raise InputError(f"{path}: --format=onnx writes NAME.onnx; give such a name")
    if _MODEL.value is not None:
        raise InputError("--model goes with --format=model; a network has its own face model")
    try:
        from fml_jax.export.onnx.models import write_onnx
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise InputError("--format=onnx needs the package onnx: pip install 'fml_jax[onnx]'") from None
    from fml_jax.face_model.files import load_face_model
    from fml_jax.reconstruction.prediction import load_network

    model = load_face_model(_FACE_MODEL.value)
    network = load_network(_WEIGHTS.value, model)
    with tqdm(unit="operation", desc="translated", dynamic_ncols=True) as bar:
        return write_onnx(path, network, model, note=bar.update)


def _loaded(path: str | None):
    from fml_jax.face_model.files import load_face_model
    from fml_jax.face_model.learned import FORMAT_VERSION, load_learned_model
    from fml_jax.safe_npz import read_npz

    if path is None:
        return load_face_model()
    version = read_npz(Path(path), "face model file", ["format_version"]).get("format_version")
    learned = version is not None and version.shape == () and version == FORMAT_VERSION
    return load_learned_model(path) if learned else load_face_model(path)


def run() -> None:
    """The command `fml-export`."""
    run_launcher(main, _FLAGS)
