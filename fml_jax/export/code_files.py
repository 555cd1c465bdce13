"""A reconstruction's numbers as one npz file."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from fml_jax.codes import LIGHT_SHAPE, CodeSizes, FaceCode, FinalCode, flatten_code, unflatten_code
from fml_jax.errors import InputError
from fml_jax.safe_npz import read_npz, write_npz

FORMAT_VERSION = 2
_FIELDS = (
    "vertices", "triangles", "reflectance", "reflectance_corrections", "landmarks68", "projected", "box",
    "crop_from_photo", "illumination", "rotation", "translation", "score", "index", "source", "model_version",
)  # fmt: skip
_FINAL_FIELDS = ("delta_geometry", "delta_reflectance", "base_illumination")  # of faces with a final level
_SIZES_OF_OLD_FILES = CodeSizes(80, 64, 80)  # of the open model, the only one when files did not record them


def write_code_file(path: Path, face: Any) -> None:
    """Writes all fields of a `Reconstruction` under their names, and its code as one vector with its parts' sizes.

    Raises:
      OSError: the file cannot be written.
    """
    arrays: dict[str, Any] = {name: np.asarray(getattr(face, name)) for name in _FIELDS}
    arrays |= {"code": np.asarray(flatten_code(face.code)), "code_sizes": np.array(face.code.sizes)}
    if face.final_code is not None:
        parts = (face.final_code.geometry, face.final_code.reflectance, face.final_code.base.illumination)
        arrays |= dict(zip(_FINAL_FIELDS, map(np.asarray, parts), strict=True))
    write_npz(path, {"format_version": np.asarray(FORMAT_VERSION), **arrays})


def read_code_file(path: str | Path) -> dict[str, Any]:
    """Reads what `write_code_file` wrote, by field; `code` as a `FaceCode`, `final_code` as a `FinalCode` or None.

    Raises:
      InputError: the file is missing, damaged, or no reconstruction's.
    """
    fields = read_npz(path, "reconstruction's npz file")
    version = fields.pop("format_version", np.zeros(()))
    if version.shape != () or version.dtype.kind not in "iu":
        raise InputError(f"{path}: not a reconstruction's npz file (its format_version is no number)")
    number = int(version)
    if number == 1:  # written before there were corrections
        fields["reflectance_corrections"] = np.zeros_like(fields.get("reflectance"))
    elif number != FORMAT_VERSION:
        raise InputError(
            f"{path}: format {number} of reconstructions, but this program reads {FORMAT_VERSION}; "
            "reconstruct the photo again"
        )
    if missing := {*_FIELDS, "code"} - set(fields):
        raise InputError(f"{path}: a reconstruction without {', '.join(sorted(missing))}")
    try:
        sizes = CodeSizes(*map(int, fields.pop("code_sizes", _SIZES_OF_OLD_FILES)))
        score, code = float(fields["score"]), unflatten_code(jnp.asarray(fields["code"]), sizes)
    except (IndexError, TypeError, ValueError):
        raise InputError(f"{path}: not a reconstruction's npz file (its score or code has a wrong shape)") from None
    texts = {name: str(fields[name]) for name in ("source", "model_version")}
    return {**fields, **texts, "score": score, "code": code, "final_code": _final_code(path, fields, code)}


def _final_code(path: str | Path, fields: dict[str, Any], code: FaceCode) -> FinalCode | None:
    if not set(_FINAL_FIELDS) <= set(fields):
        return None
    geometry, reflectance, light = (jnp.asarray(fields[name]) for name in _FINAL_FIELDS)
    if geometry.ndim != 1 or reflectance.ndim != 1 or light.shape != LIGHT_SHAPE:
        raise InputError(f"{path}: not a reconstruction's npz file (its final level has a wrong shape)")
    return FinalCode(code.replace(illumination=light), geometry, reflectance, code.illumination)
