"""Network weights as one npz of plain float16 arrays with a JSON note on where they come from."""

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from fml_jax.errors import InputError
from fml_jax.files import complete_or_absent
from fml_jax.safe_npz import Header, check_headers, read_headers, read_npz

FORMAT_VERSION = 1
DELTA_MEAN, DELTA_FACTOR = "delta/mean", "delta/factor"  # names of the statistics of δ (`face_model.learned`)
_NOTE = "metadata"
_KIND = "weights file"
_LONGEST_NOTE = 4 * 2**20  # bytes


def save_weights(path: str | Path, params: dict, metadata: dict) -> None:
    """Writes Flax parameters, rounded to float16, under '/'-joined names; the file is complete or absent.

    Args:
      metadata: JSON values; `encoder` and `model` (the face model's name) must be among them.

    Raises:
      ValueError: a parameter is not finite or too large for float16; nothing is written.
      InputError: the file cannot be written.
    """
    with np.errstate(over="ignore"):  # reported below, by name
        halves = {name: np.asarray(array).astype(np.float16) for name, array in flatten_dict(params, sep="/").items()}
    for name, array in halves.items():
        if not np.isfinite(array).all():
            raise ValueError(f"parameter {name!r} has values that float16 cannot hold")
    arrays: dict[str, Any] = {
        **halves,
        _NOTE: np.array(json.dumps({"format_version": FORMAT_VERSION, **metadata}, sort_keys=True)),
    }
    with complete_or_absent(Path(path)) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)


def load_weights(path: str | Path, expected: Mapping[str, tuple[int, ...]] | None = None) -> tuple[dict, dict]:
    """Reads what `save_weights` wrote.

    Args:
      expected: shapes by '/'-joined names; only these parameters are read, after all of them have been checked.
        None reads all that the file holds.

    Returns:
      The parameters, float32, as Flax nests them, and the metadata.

    Raises:
      InputError: the file is missing, not of this format, lacks an expected parameter, or holds values that are not
        finite.
    """
    headers = _headers(path)
    metadata = _read_metadata(path, headers)
    if (problem := check_headers(headers, expected or {})) is not None:
        raise InputError(
            f"{path}: made for another {metadata['encoder']} encoder than this program has ({problem}); train anew"
        )
    names = headers.keys() - {_NOTE} if expected is None else expected.keys()
    for name in names:
        if headers[name].dtype.kind != "f":
            raise InputError(f"{path}: weights {name!r} are {headers[name].dtype} and not real numbers")
        if any(other.startswith(f"{name}/") for other in headers):
            raise InputError(f"{path}: not a {_KIND} ({name!r} is both an array and a group of arrays)")
    with np.errstate(over="ignore"):  # reported below, by name
        arrays = {name: array.astype(np.float32) for name, array in read_npz(path, _KIND, names).items()}
    broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise InputError(f"{path}: weights {broken[0]!r} are not finite")
    return jax.device_put(unflatten_dict(arrays, sep="/")), metadata


def has_part(path: str | Path, part: str) -> bool:
    """Whether a weights file holds one of `multilevel.PARTS`, which a network may have besides its encoder.

    Raises:
      InputError: the file is missing or not of this format.
    """
    return any(name.startswith(f"{part}/") for name in _headers(path))


def read_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a weights file's parameters, by their '/'-joined names; no parameter is read.

    Raises:
      InputError: the file is missing or not of this format.
    """
    return {name: header.shape for name, header in read_headers(path, _KIND).items() if name != _NOTE}


def read_metadata(path: str | Path) -> dict:
    """The metadata of a weights file; `encoder` and `model` are among them, as text.

    Raises:
      InputError: the file is missing or not of this format.
    """
    return _read_metadata(path, _headers(path))


def _headers(path: str | Path) -> Mapping[str, Header]:
    """What the file claims to hold; a network's parts are asked for one after the other, and a file read once."""
    try:
        status = os.stat(path)
    except OSError:
        return read_headers(path, _KIND)  # which says what is wrong
    return _headers_at(Path(path), (status.st_ino, status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=2)
def _headers_at(path: Path, stamp: tuple[int, int, int]) -> Mapping[str, Header]:
    return read_headers(path, _KIND)


def _read_metadata(path: str | Path, headers: Mapping[str, Header]) -> dict:
    remedy = "fml-train writes such files as weights.npz"
    note = headers.get(_NOTE)
    if note is None or note.shape != () or note.dtype.kind != "U" or note.size > _LONGEST_NOTE:
        raise InputError(f"{path}: not a {_KIND}; {remedy}")
    text = read_npz(path, _KIND, [_NOTE])[_NOTE]
    try:
        metadata = json.loads(str(text))
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not a {_KIND} (its note is no JSON); {remedy}") from None
    if not isinstance(metadata, dict):
        raise InputError(f"{path}: not a {_KIND} (its note is no JSON object); {remedy}")
    version = metadata.get("format_version")
    if version != FORMAT_VERSION:
        raise InputError(f"{path}: weights format {str(version)[:80]}, this program reads {FORMAT_VERSION}")
    if missing := {"encoder", "model"} - metadata.keys():
        raise InputError(f"{path}: the weights' note lacks {', '.join(sorted(missing))}")
    for name in ("encoder", "model"):
        if not isinstance(metadata[name], str):
            raise InputError(f"{path}: {name} in the weights' note is {str(metadata[name])[:80]}, which is no name")
    return metadata
