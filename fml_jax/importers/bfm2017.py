"""The Basel Face Models of 2017 and 2019, and other models in their HDF5 layout.

`shape`, `expression` and `color` each have `model/mean` [3 N], `model/pcaBasis` [3 N, K] with columns of unit norm, and
`model/pcaVariance` [K]; `shape/representer/cells` [3, T] are the triangles. Coordinates are in mm, colours in [0, 1].
"""

from pathlib import Path

import numpy as np

from fml_jax.errors import InputError
from fml_jax.importers.hdf5 import read_hdf5
from fml_jax.importers.raw_model import RawModel, checked, modes, outward, vectors

_FIELDS = ("mean", "pcaBasis", "pcaVariance")
_KINDS = ("shape", "expression", "color")
_CELLS = "shape/representer/cells"
_UV = ("metadata/uv", "metadata/uv_cells")  # which `fml-export` writes


def read_bfm2017(path: Path) -> RawModel:
    """Reads a file of this layout.

    Raises:
      InputError: it is missing or damaged, or has another layout.
    """
    arrays = read_hdf5(path, [f"{kind}/model/{field}" for kind in _KINDS for field in _FIELDS] + [_CELLS, *_UV])
    for name in (*(f"shape/model/{field}" for field in _FIELDS), _CELLS):
        if name not in arrays:
            raise InputError(f"{path}: lacks {name!r}; this is no Basel Face Model of 2017 or 2019")
    mean, identity = _principal(path, arrays, "shape")
    cells = arrays[_CELLS]
    triangles, turned = outward(mean, _rows_of_triangles(path, _CELLS, cells, count=len(mean)))
    model = RawModel(path.stem, mean, triangles, identity)
    notes = ["triangles turned to be counter-clockwise from outside"] * turned
    if _has(arrays, "expression"):
        offset, expression = _principal(path, arrays, "expression", len(mean))
        size = float(np.sqrt((offset**2).sum(1).mean()))
        if size > 0:
            notes.append(f"the expressions' mean ({size:.2f} mm RMS) is part of the mean face")
        model = model._replace(mean=mean + offset, expression=expression)
    if _has(arrays, "color"):
        colour, reflectance = _principal(path, arrays, "color", len(mean))
        model = model._replace(reflectance_mean=colour, reflectance=reflectance)
        notes.append("colours are taken as sRGB-encoded reflectance")
    if all(name in arrays for name in _UV):
        corners = _rows_of_triangles(path, _UV[1], arrays[_UV[1]], count=arrays[_UV[0]].size // 2)
        model = model._replace(uv=arrays[_UV[0]], uv_triangles=corners[:, ::-1].copy() if turned else corners)
    return checked(path, model._replace(notes=tuple(notes)))


def _has(arrays, kind):
    return all(f"{kind}/model/{field}" in arrays for field in _FIELDS)


def _principal(path, arrays, kind, count=None):
    """Mean [N, 3], and modes [K, N, 3] times their standard deviations."""
    name = f"{kind}/model"
    mean = vectors(path, f"{name}/mean", arrays[f"{name}/mean"], vertex_count=count)
    variance = np.asarray(arrays[f"{name}/pcaVariance"], np.float64).ravel()
    if not np.isfinite(variance).all() or (variance < 0).any():
        raise InputError(f"{path}: '{name}/pcaVariance' holds values that are no variances; check the file")
    basis = arrays[f"{name}/pcaBasis"]
    return mean, modes(path, f"{name}/pcaBasis", basis, vertex_count=len(mean), deviations=np.sqrt(variance))


def _rows_of_triangles(path, name, cells, *, count):
    """[T, 3] of [3, T], or of [T, 3] as some programs write it."""
    if cells.ndim != 2 or 3 not in cells.shape or cells.dtype.kind not in "iu":
        raise InputError(f"{path}: {name!r} has shape {cells.shape}, not (3, T); check the file")
    rows = (cells.T if cells.shape[0] == 3 else cells).astype(np.int64)
    if rows.size and not 0 <= rows.min() <= rows.max() < count:
        raise InputError(f"{path}: {name!r} name vertices {rows.min()} to {rows.max()}, but there are {count}")
    return rows
