"""The Basel Face Model of 2009 in MATLAB files, with expressions of FaceWarehouse, and the model made of both.

`01_MorphableModel.mat`: `shapeMU` [3 N, 1], `shapePC` [3 N, K] and `shapeEV` [K, 1], which are standard deviations, in
micrometres; `texMU`, `texPC`, `texEV` in 0 to 255; `tl` [T, 3], numbered from 1, clockwise as seen from outside. Beside
it may lie `Exp_Pca.bin` (int32 K, float32 mean [3 M], float32 modes [K, 3 M]), `std_exp.txt` (its modes' standard
deviations) and `BFM_exp_idx.mat` (`trimIndex`, from 1: which vertices its M are).

`BFM_model_front.mat`: `meanshape`, `meantex`, `idBase`, `exBase`, `texBase`, already times the standard deviations, in
units of 10 cm and 0 to 255; `tri` numbered from 1; `keypoints`, iBUG's 68 points, from 1.
"""

import math
import struct
from pathlib import Path

import numpy as np

from fml_jax.errors import InputError
from fml_jax.importers.matlab import read_matlab, variables
from fml_jax.importers.raw_model import (
    MOST_MODES,
    RawModel,
    allowance,
    beginning,
    checked,
    existing,
    modes,
    outward,
    vectors,
    whole_numbers,
)

FULL, FRONT = "01_MorphableModel.mat", "BFM_model_front.mat"
_EXPRESSIONS, _DEVIATIONS, _INDEX = "Exp_Pca.bin", "std_exp.txt", "BFM_exp_idx.mat"
_FULL_ARRAYS = ("shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV", "tl")
_FRONT_ARRAYS = ("meanshape", "meantex", "idBase", "exBase", "texBase", "tri")
_MM_OF_MICROMETRES, _MM_OF_DECIMETRES = 1e-3, 100.0
_GREY_LEVELS = 255.0
_MOST_DEVIATIONS = 100_000  # bytes of std_exp.txt
_UNIT_NORM = 0.05  # by which the norm of a mode without a standard deviation may differ from 1


def read_bfm2009(path: Path) -> RawModel:
    """Reads the folder of the files, or one of the two models.

    Raises:
      InputError: a file is missing or damaged, or has another layout.
    """
    if path.is_dir():
        found = [path / name for name in (FULL, FRONT) if (path / name).is_file()]
        if not found:
            raise InputError(f"{path}: neither {FULL} nor {FRONT} is in this folder; check the path")
        path = found[0]
    names = variables(path)
    if "shapeMU" in names:
        return _full(path)
    if "meanshape" in names:
        return _front(path)
    raise InputError(f"{path}: has neither 'shapeMU' nor 'meanshape'; this is no Basel Face Model of 2009")


def _arrays(path, names):
    arrays = read_matlab(path, [*names, "keypoints"])
    for name in names:
        if name not in arrays:
            raise InputError(f"{path}: lacks {name!r}; this is no Basel Face Model of 2009")
    return arrays


def _full(path: Path) -> RawModel:
    arrays = _arrays(path, _FULL_ARRAYS)
    mean = vectors(path, "shapeMU", arrays["shapeMU"]) * _MM_OF_MICROMETRES
    count = len(mean)
    identity = modes(path, "shapePC", arrays["shapePC"], vertex_count=count, deviations=arrays["shapeEV"])
    reflectance = modes(path, "texPC", arrays["texPC"], vertex_count=count, deviations=arrays["texEV"])
    triangles, turned = outward(mean, _from_zero(path, "tl", arrays["tl"], count))
    model = RawModel(
        path.stem,
        mean,
        triangles,
        identity * np.float32(_MM_OF_MICROMETRES),
        reflectance_mean=vectors(path, "texMU", arrays["texMU"], vertex_count=count) / np.float32(_GREY_LEVELS),
        reflectance=reflectance / np.float32(_GREY_LEVELS),
        notes=(*_turned(turned), "texture / 255 is taken as sRGB-encoded reflectance"),
    )
    return checked(path, _with_expressions(path.parent, model))


def _front(path: Path) -> RawModel:
    arrays = _arrays(path, _FRONT_ARRAYS)
    mean = vectors(path, "meanshape", arrays["meanshape"]) * np.float32(_MM_OF_DECIMETRES)
    count, bases = len(mean), {}
    for name in ("idBase", "exBase", "texBase"):
        ones = np.ones(arrays[name].shape[-1])
        bases[name] = modes(path, name, arrays[name], vertex_count=count, deviations=ones)
    triangles, turned = outward(mean, _from_zero(path, "tri", arrays["tri"], count))
    notes = [*_turned(turned), "texture / 255 is taken as sRGB-encoded reflectance"]
    model = RawModel(
        path.stem,
        mean,
        triangles,
        bases["idBase"] * np.float32(_MM_OF_DECIMETRES),
        expression=bases["exBase"] * np.float32(_MM_OF_DECIMETRES),
        reflectance_mean=vectors(path, "meantex", arrays["meantex"], vertex_count=count) / np.float32(_GREY_LEVELS),
        reflectance=bases["texBase"] / np.float32(_GREY_LEVELS),
    )
    if "keypoints" in arrays:
        model = model._replace(landmarks68=whole_numbers(path, "keypoints", arrays["keypoints"]).ravel() - 1)
    return checked(path, model._replace(notes=tuple(notes)))


def _turned(turned):
    return ("triangles turned to be counter-clockwise from outside",) * turned


def _from_zero(path, name, numbers, count):
    """Triangles [T, 3] from 0 of numbers from 1."""
    numbers = np.asarray(numbers)
    if numbers.ndim == 2 and numbers.shape[1] != 3 and numbers.shape[0] == 3:
        numbers = numbers.T
    if numbers.ndim != 2 or numbers.shape[1] != 3:
        raise InputError(f"{path}: {name!r} has shape {numbers.shape}, not (T, 3); check the file")
    rows = whole_numbers(path, name, numbers) - 1
    if rows.size and not 0 <= rows.min() <= rows.max() < count:
        raise InputError(f"{path}: {name!r} names vertices {rows.min() + 1} to {rows.max() + 1} of {count}")
    return rows


def _with_expressions(folder: Path, model: RawModel) -> RawModel:
    """The model with the expressions of `Exp_Pca.bin`, if that lies beside it."""
    path = folder / _EXPRESSIONS
    if not path.is_file():
        return _noted(model, f"no {_EXPRESSIONS} beside the model")
    offsets, basis = _expression_file(path)
    index, count = folder / _INDEX, len(model.mean)
    if not len(basis) <= MOST_MODES or 12 * len(basis) * count > allowance(path):  # few vertices become many
        raise InputError(
            f"{path}: its {len(basis)} modes of {basis.shape[1]} vertices do not fit a model of {count}; check the file"
        )
    kept = np.arange(basis.shape[1])
    if basis.shape[1] != count:
        if not index.is_file():
            return _noted(
                model,
                f"{_EXPRESSIONS} has {basis.shape[1]} vertices, the model {count}; without {_INDEX} beside it (its "
                "trimIndex says which they are) the file's expressions are left out",
            )
        kept = _trim_index(index, basis.shape[1], count)
    deviations, note = _deviations(folder / _DEVIATIONS, basis)
    expression = np.zeros((len(basis), count, 3), np.float32)
    expression[:, kept] = basis * (deviations[:, None, None] * _MM_OF_MICROMETRES).astype(np.float32)
    size = float(np.sqrt((offsets.astype(np.float64) ** 2).sum(1).mean())) * _MM_OF_MICROMETRES
    left_out = f"the mean of {_EXPRESSIONS} ({size:.2f} mm RMS) is left out: zero is the neutral face"
    return _noted(model._replace(expression=expression), *note, *([left_out] if size else []))


def _noted(model, *notes):
    return model._replace(notes=(*model.notes, *notes))


def _expression_file(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean [M, 3] and modes [K, M, 3]."""
    size = existing(path, "file of expressions").stat().st_size
    with path.open("rb") as file:
        head = file.read(4)
        count = struct.unpack("<i", head)[0] if len(head) == 4 else 0
        vertices, rest = divmod(size - 4, 12 * (count + 1)) if count > 0 else (0, 1)
        if rest or not vertices:
            raise InputError(
                f"{path}: {size} bytes do not hold the {count} modes that it begins with; copy or download it again"
            )
        numbers = np.fromfile(file, "<f4", 3 * vertices * (count + 1))
    if not np.isfinite(numbers).all():
        raise InputError(f"{path}: holds values that are not finite; copy or download it again")
    numbers = numbers.reshape(count + 1, vertices, 3)
    return numbers[0], numbers[1:]


def _trim_index(path: Path, expected: int, count: int) -> np.ndarray:
    found = read_matlab(path, ["trimIndex"]).get("trimIndex", np.zeros(0))
    index = whole_numbers(path, "trimIndex", found).ravel() - 1
    if len(index) != expected or index.min(initial=0) < 0 or index.max(initial=0) >= count:
        raise InputError(f"{path}: 'trimIndex' is not {expected} numbers of the model's {count} vertices")
    return index


def _deviations(path: Path, basis: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Standard deviations [K] of the modes as they are stored, and what to say of them."""
    if not path.is_file():
        norms = np.linalg.norm(basis.reshape(len(basis), -1), axis=1)
        if np.abs(norms - 1).max() < _UNIT_NORM:
            # Of the file's modes only directions are known. This is a typical size of expressions of the open model.
            sizes = 1000 * math.sqrt(basis.shape[1]) / np.sqrt(1 + np.arange(len(basis)))
            return sizes, (
                f"no {_DEVIATIONS} beside {_EXPRESSIONS}: mode k is given a standard deviation of 1/√k mm a vertex",
            )
        return np.ones(len(basis)), (f"no {_DEVIATIONS}: the modes of {_EXPRESSIONS} are taken as they are",)
    try:
        values = np.array(beginning(path, _MOST_DEVIATIONS).split(), np.float64)
    except ValueError:
        raise InputError(f"{path}: not a list of numbers; copy or download it again") from None
    if len(values) != len(basis) or not np.isfinite(values).all():
        raise InputError(f"{path}: {len(values)} standard deviations for {len(basis)} modes; check the file")
    return values, ()
