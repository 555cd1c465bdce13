"""Network weights as one npz of plain float16 arrays with a JSON note on where they come from."""

import json
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from fml_jax.errors import InputError

FORMAT_VERSION = 1
_NOTE = "metadata"


def save_weights(path: str | Path, params: dict, metadata: dict) -> None:
    """Writes Flax parameters, halved to float16, under '/'-joined names.

    Args:
      metadata: JSON values; `encoder` and `model` (the face model's name) must be among them.

    Raises:
      ValueError: a parameter is not finite or too large for float16; nothing is written.
    """
    with np.errstate(over="ignore"):  # told below, by name
        arrays = {name: np.asarray(array).astype(np.float16) for name, array in flatten_dict(params, sep="/").items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"parameter {name!r} has values that float16 cannot hold")
    note = json.dumps({"format_version": FORMAT_VERSION, **metadata}, sort_keys=True)
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    with open(partial, "wb") as file:
        np.savez(file, **arrays, **{_NOTE: np.array(note)})
    os.replace(partial, path)  # whole or not at all


def load_weights(path: str | Path) -> tuple[dict, dict]:
    """Reads what `save_weights` wrote: (float32 parameters, metadata).

    Raises:
      InputError: the file is missing, not of this format, or holds values that are not finite.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        metadata = json.loads(str(arrays.pop(_NOTE)))
    except FileNotFoundError:
        raise InputError(f"{path}: no such weights file") from None
    except Exception:  # NumPy's reasons name remedies that are none here
        raise InputError(f"{path}: not a weights file; experiments.train writes them as weights.npz") from None
    if metadata.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{path}: weights format {metadata.get('format_version')}, this program reads {FORMAT_VERSION}"
        )
    missing = {"encoder", "model"} - metadata.keys()
    if missing:
        raise InputError(f"{path}: the weights' note lacks {', '.join(sorted(missing))}")
    broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise InputError(f"{path}: weights {broken[0]!r} are not finite")
    return unflatten_dict({name: jnp.asarray(array, jnp.float32) for name, array in arrays.items()}, sep="/"), metadata
