"""A learned face model: base, correctives, and the statistics of δ over faces; one npz file.

The file contains the base level too, at the detail that was trained. A learned model is used without the file
of its base model, without the encoder and without photos.
"""

import os
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float

from fml_jax.codes import FinalCode, neutral_code
from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.correctives import Corrections, Correctives
from fml_jax.face_model.files import check_shapes, read_npz
from fml_jax.face_model.landmarks import Landmarks
from fml_jax.face_model.topology import make_topology
from fml_jax.ops.arrays import Array

FORMAT_VERSION = 101  # differs from the versions of base models

_BASE = ("mean", "identity", "expression", "reflectance_mean", "reflectance", "uv", "uv_triangles")
# As in `files`: the same letter is the same size.
_SHAPES = {
    "mean": "N3",
    "identity": "iN3",
    "expression": "eN3",
    "reflectance_mean": "N3",
    "reflectance": "rN3",
    "triangles": "T3",
    "uv": "M2",
    "uv_triangles": "T3",
    "landmarks/fixed_vertices": "L3",
    "landmarks/fixed_weights": "L3",
    "landmarks/ibug_from_mediapipe": "B",
    "landmarks/contour_yaws": "Y",
    "landmarks/contour_vertices": "YS3",
    "landmarks/contour_weights": "YS3",
    "landmarks/candidates": "K",
    "delta_mean": "D",
    "delta_factor": "DD",
}


class FaceModel(struct.PyTreeNode):
    """Both levels of a learned face model."""

    base: BaseModel
    correctives: dict  # Θ, as `init_correctives` lays it out
    delta_mean: jax.Array  # of (δ_g, δ_r) over faces, [C_g + C_r]
    delta_factor: jax.Array  # square root of their covariance, [C_g + C_r, C_g + C_r]
    nonlinearities: int = struct.field(pytree_node=False)

    @property
    def sizes(self) -> tuple[int, int]:
        """(C_g, C_r)."""
        geometry, reflectance = (
            len(self.correctives[name]["modes"]) if name in self.correctives else 0
            for name in ("geometry", "reflectance")
        )
        return geometry, reflectance


def corrections(model: FaceModel, code: FinalCode) -> Corrections:
    """F_g(δ_g) and F_r(δ_r) of one face, [N, 3] each; see `final_geometry` and `final_reflectance`."""
    spaces = Correctives(model.base.vertex_count, model.nonlinearities)
    return cast(Corrections, spaces.apply({"params": model.correctives}, code.geometry, code.reflectance))


def random_face(model: FaceModel, key: jax.Array, expression: float = 0.5) -> FinalCode:
    """A random face of the model, frontal and in white light.

    Identity and reflectance are drawn from the base model's distribution; δ is drawn independently, from the
    distribution over the faces of its training.

    Args:
      expression: standard deviation of the expression's parameters, of which most faces use few at a time.
    """
    for_identity, for_expression, for_reflectance, for_delta = jax.random.split(key, 4)
    sizes = model.base.code_sizes
    base = neutral_code(sizes).replace(
        identity=jax.random.normal(for_identity, (sizes.identity,)),
        expression=expression * jax.random.normal(for_expression, (sizes.expression,)),
        reflectance=jax.random.normal(for_reflectance, (sizes.reflectance,)),
    )
    delta = model.delta_mean + model.delta_factor @ jax.random.normal(for_delta, model.delta_mean.shape)
    geometry, reflectance = jnp.split(delta, [model.sizes[0]])
    return FinalCode(base, geometry, reflectance, base.illumination)


def delta_statistics(deltas: Float[Array, "S D"]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and square root of the covariance of S faces' (δ_g, δ_r)."""
    deltas = np.asarray(deltas, np.float64)
    mean = deltas.mean(axis=0)
    values, vectors = np.linalg.eigh((deltas - mean).T @ (deltas - mean) / max(len(deltas) - 1, 1))
    factor = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    return mean.astype(np.float32), factor.astype(np.float32)


def save_learned_model(path: str | Path, model: FaceModel) -> None:
    """Writes a model as one npz of float32 arrays, all modes [K, N, 3]; the file is there whole or not at all."""
    base, path = model.base, Path(path)
    arrays = {name: getattr(base, name) for name in _BASE}
    arrays |= {"triangles": base.topology.triangles, "delta_mean": model.delta_mean, "delta_factor": model.delta_factor}
    spaces = {name: _reshaped(space, (-1, base.vertex_count, 3)) for name, space in model.correctives.items()}
    tables = {"landmarks": base.landmarks._asdict(), "regions": base.regions, "correctives": spaces}
    arrays |= flatten_dict(tables, sep="/")
    arrays |= {"name": base.name, "nonlinearities": model.nonlinearities, "format_version": FORMAT_VERSION}
    partial = path.with_name(path.name + ".partial")
    with open(partial, "wb") as file:
        np.savez(file, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})
    os.replace(partial, path)


def load_learned_model(path: str | Path) -> FaceModel:
    """Reads what `save_learned_model` wrote.

    Raises:
      InputError: missing, unreadable, of another kind, or inconsistent.
    """
    path = Path(path)
    arrays = read_npz(path, FORMAT_VERSION)
    check_shapes(path, arrays, _SHAPES)
    tables = unflatten_dict({tuple(name.split("/")): array for name, array in arrays.items() if "/" in name})
    spaces = tables.get("correctives", {})
    _check_correctives(path, spaces, arrays)
    _check_vertices(path, arrays)
    spaces = {name: _reshaped(space, (len(space["modes"]), 3 * len(arrays["mean"]))) for name, space in spaces.items()}
    vectors: dict[str, Any] = {name: jnp.asarray(arrays[name]) for name in _BASE}
    base = BaseModel(
        **vectors,
        topology=make_topology(arrays["triangles"], len(arrays["mean"])),
        landmarks=Landmarks(**jax.tree.map(jnp.asarray, tables["landmarks"])),
        regions=jax.tree.map(jnp.asarray, tables.get("regions", {})),
        name=str(arrays["name"]),
    )
    return FaceModel(
        base=base,
        correctives=jax.tree.map(jnp.asarray, spaces),
        delta_mean=jnp.asarray(arrays["delta_mean"]),
        delta_factor=jnp.asarray(arrays["delta_factor"]),
        nonlinearities=int(arrays["nonlinearities"]),
    )


def _reshaped(space, shape):
    """A corrective space with its modes in another shape."""
    return {**space, "modes": np.asarray(space["modes"]).reshape(shape)}


def _check_vertices(path, arrays):
    for name in ("triangles", "landmarks/fixed_vertices", "landmarks/contour_vertices", "landmarks/candidates"):
        if arrays[name].size and not 0 <= arrays[name].min() <= arrays[name].max() < len(arrays["mean"]):
            raise InputError(f"{path}: {name!r} names vertices that the model does not have")


def _check_correctives(path, spaces, arrays):
    """Checks the spaces' layers, vertices and parameters against the rest of the file."""
    total, layers = 0, {f"layer_{k}" for k in range(int(arrays.get("nonlinearities", 0)))}
    for name, space in spaces.items():
        if set(space) != {"modes", "offset"} | layers:
            raise InputError(
                f"{path}: its {name} correctives hold {', '.join(sorted(space))}, which is no corrective space"
            )
        own = {"mean": arrays["mean"], **flatten_dict(space, sep="/")}
        hidden = {f"{layer}/{part}": sides for layer in layers for part, sides in (("kernel", "CC"), ("bias", "C"))}
        check_shapes(path, own, {"mean": "N3", "modes": "CN3", "offset": "N3", **hidden})
        total += len(space["modes"])
    if total != len(arrays["delta_mean"]):
        raise InputError(f"{path}: {total} corrective parameters, but statistics of {len(arrays['delta_mean'])}")
