"""Writes the face model as a linear morphable model, for other people's software.

    fml-export --output=face_model.h5
    fml-export --model=runs/mine/face_model.npz --output=mine.npz

.h5 has the layout of the Basel Face Model 2017 (it needs h5py): shape, expression and colour, each
with mean, pcaBasis and pcaVariance. .npz has the same arrays. Units are mm and sRGB in [0, 1]. A
learned model's correctives become part of shape and colour, if they are linear.
"""

from pathlib import Path

from absl import flags

from fml_jax.launchers.command_line import define_face_model_flag, run_launcher

_FLAGS = flags.FlagValues()
_MODEL = flags.DEFINE_string(
    "model", None, "A face model or learned face model instead of the one of the package.", flag_values=_FLAGS
)
_FACE_MODEL = define_face_model_flag(_FLAGS)
_OUTPUT = flags.DEFINE_string("output", None, "The file: NAME.h5 or NAME.npz.", required=True, flag_values=_FLAGS)


def main() -> int:
    """Writes the file; returns the exit status."""
    from fml_jax.export.morphable import export_face_model

    path = export_face_model(_OUTPUT.value, _loaded(_MODEL.value or _FACE_MODEL.value))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


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
