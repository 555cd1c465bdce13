"""Face models for other people's software: a linear morphable model as npz, or as HDF5 in the layout of BFM 2017."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.learned import FaceModel
from fml_jax.files import checked_path, complete_or_absent

FORMAT_VERSION = 1
_SUFFIXES = (".npz", ".h5")
# Directions with less than this share of the largest standard deviation are numerical noise.
_LEAST_DEVIATION = 1e-5


class Principal(NamedTuple):
    """A Gaussian over the mesh's vectors: mean + basis @ (√variance · coefficients), with normal coefficients."""

    mean: np.ndarray  # [3 N], the coordinates of a vertex adjacent
    basis: np.ndarray  # [3 N, K], orthonormal columns
    variance: np.ndarray  # [K], falling


class MorphableModel(NamedTuple):
    """A linear face model: shape + expression in mm, colour in sRGB of [0, 1]."""

    shape: Principal  # identity; of a learned model also what its correctives add
    expression: Principal  # displacements: its mean is zero
    color: Principal
    triangles: np.ndarray  # [T, 3]
    uv: np.ndarray  # [M, 2], v up
    uv_triangles: np.ndarray  # [T, 3]
    name: str


def morphable_model(model: BaseModel | FaceModel) -> MorphableModel:
    """A face model's distribution over faces in principal components, which are uncorrelated and sorted.

    The base level's modes become principal axes: random faces are as before, but a coefficient is not one number of a
    code. Corrective spaces of a learned model are independent Gaussians with the statistics of its training's δ; that
    geometry and reflectance may be correlated is left out, as in other models of this kind.

    Raises:
      InputError: the learned model's correctives are not linear.
    """
    base = model.base if isinstance(model, FaceModel) else model
    shape = [_columns(base.identity)]
    color = [_columns(base.reflectance)]
    means = {"geometry": _flat(base.mean), "reflectance": _flat(base.reflectance_mean)}
    if isinstance(model, FaceModel):
        if model.nonlinearities and model.correctives:
            raise InputError(
                f"the face model {base.name} has correctives with ReLU layers, which no linear model can express; "
                'train with correctives of kind "linear"'
            )
        covariance = np.asarray(model.delta_factor, np.float64) @ np.asarray(model.delta_factor, np.float64).T
        start = 0
        for name, columns in (("geometry", shape), ("reflectance", color)):
            if name in model.correctives:
                space = model.correctives[name]
                end = start + len(space["modes"])
                modes = np.asarray(space["modes"], np.float64)
                means[name] = means[name] + np.asarray(model.delta_mean)[start:end] @ modes + _flat(space["offset"])
                columns.append(modes.T @ _square_root(covariance[start:end, start:end]))
                start = end
    return MorphableModel(
        shape=_principal(means["geometry"], np.concatenate(shape, axis=1)),
        expression=_principal(np.zeros(3 * base.vertex_count), _columns(base.expression)),
        color=_principal(means["reflectance"], np.concatenate(color, axis=1)),
        triangles=np.asarray(base.topology.triangles),
        uv=np.asarray(base.uv),
        uv_triangles=np.asarray(base.uv_triangles),
        name=base.name,
    )


def export_face_model(path: str | os.PathLike, model: BaseModel | FaceModel) -> Path:
    """Writes `morphable_model` for other software; the file is there whole or not at all.

    Args:
      path: ends in .npz (arrays named `shape_mean`, `shape_basis`, `shape_variance` and so on) or .h5 (the layout of
        the Basel Face Model 2017: `shape/model/mean`, `pcaBasis`, `pcaVariance`, likewise `color`, `expression`).

    Returns:
      the path.

    Raises:
      InputError: another ending, correctives that are not linear, a missing package, or the file cannot be written.
    """
    path = checked_path(path)
    if path.suffix not in _SUFFIXES:
        raise InputError(f"{path}: no format of morphable models; let the name end in {' or '.join(_SUFFIXES)}")
    write = _write_npz if path.suffix == ".npz" else _write_h5
    exported = morphable_model(model)
    with complete_or_absent(path) as partial:
        write(partial, exported)
    return path


def _write_npz(path: Path, model: MorphableModel) -> None:
    arrays: dict[str, Any] = {
        f"{kind}_{field}": np.asarray(values, np.float32)
        for kind, principal in _kinds(model).items()
        for field, values in principal._asdict().items()
    }
    arrays |= {name: getattr(model, name) for name in ("triangles", "uv", "uv_triangles", "name")}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, format_version=FORMAT_VERSION, **arrays)


def _write_h5(path: Path, model: MorphableModel) -> None:
    try:
        import h5py
    except ImportError:
        raise InputError(f"{path}: HDF5 files need h5py; run: pip install h5py, or let the name end in .npz") from None
    with h5py.File(path, "w") as file:
        file["version/majorVersion"], file["version/minorVersion"] = 0, 9
        file.attrs["name"] = model.name
        for kind, principal in _kinds(model).items():
            group = file.create_group(kind)
            group["model/mean"] = principal.mean.astype(np.float32)
            group["model/pcaBasis"] = principal.basis.astype(np.float32)
            group["model/pcaVariance"] = principal.variance.astype(np.float32)
            group["model/noiseVariance"] = np.float32(0)
            group["representer/points"] = model.shape.mean.reshape(-1, 3).T.astype(np.float32)
            group["representer/cells"] = model.triangles.T.astype(np.int32)
        file["metadata/uv"], file["metadata/uv_cells"] = model.uv, model.uv_triangles.T.astype(np.int32)


def _kinds(model: MorphableModel) -> dict[str, Principal]:
    return {"shape": model.shape, "expression": model.expression, "color": model.color}


def _principal(mean: np.ndarray, columns: Float[np.ndarray, "V K"]) -> Principal:
    """The distribution mean + columns @ z of a normal z, in principal axes."""
    values, vectors = np.linalg.eigh(columns.T @ columns)
    order = np.argsort(values)[::-1]
    kept = order[values[order] > _LEAST_DEVIATION**2 * values.max()]
    deviations = np.sqrt(values[kept])
    return Principal(mean, columns @ (vectors[:, kept] / deviations), deviations**2)


def _square_root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0))


def _columns(modes: Any) -> np.ndarray:
    return np.asarray(modes, np.float64).reshape(len(modes), -1).T


def _flat(vectors: Any) -> np.ndarray:
    return np.asarray(vectors, np.float64).reshape(-1)
