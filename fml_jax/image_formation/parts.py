"""Teeth, gums, tongue and the lining of the mouth: parts of a head that pictures show and no photometric term sees.

They come with the open model. Files of other models have them where these end at the lips.
"""

from functools import cache
from typing import Any

import jax
import numpy as np
from flax import struct
from jaxtyping import Float, Int

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.files import FacePart, has_face_parts, load_face_model, load_face_parts
from fml_jax.face_model.topology import Topology, make_topology
from fml_jax.image_formation.points import Points, form_points_of
from fml_jax.ops.arrays import Array
from fml_jax.ops.modes import weighted_sum, weighted_sum_plain

NOT_DRAWN = ("lashes",)  # single layers of triangles without a texture's gaps look like lids of their own
_MOUTH_SHADE = 0.7  # of the light that reaches the face, how much reaches the inside of the mouth
# Of that, how much reaches teeth so many mm behind the foremost: lips and cheeks shade those at the mouth's corners.
_TEETH_DEPTH, _TEETH_SHADE = (3.0, 16.0), (1.0, 0.12)


class PartsMesh(struct.PyTreeNode):
    """All drawn parts as one mesh of V vertices, which follows a face's identity and expression codes."""

    mean: jax.Array  # [V, 3] mm
    identity: jax.Array  # [m_s, V, 3] mm per standard deviation
    expression: jax.Array  # [m_e, V, 3]
    reflectance: jax.Array  # [V, 3], sRGB-encoded, the same for all people
    shade: jax.Array  # [V] of the light that reaches the face
    topology: Topology

    @property
    def triangles(self) -> Int[np.ndarray, "T 3"]:
        """Rows of vertices."""
        return np.asarray(self.topology.triangles)


def join_parts(parts: dict[str, FacePart]) -> PartsMesh:
    """The parts, without those that are not drawn, as one mesh."""
    names = [name for name in parts if name not in NOT_DRAWN]
    drawn = [parts[name] for name in names]
    starts = np.cumsum([0] + [len(part.mean) for part in drawn])
    triangles = np.concatenate([part.triangles + start for part, start in zip(drawn, starts[:-1], strict=True)])
    arrays = {
        "mean": np.concatenate([part.mean for part in drawn]),
        "identity": np.concatenate([part.identity for part in drawn], axis=1),
        "expression": np.concatenate([part.expression for part in drawn], axis=1),
        "reflectance": np.concatenate([part.reflectance for part in drawn]),
        "shade": np.concatenate([_shade(name, parts[name]) for name in names]).astype(np.float32),
    }
    return PartsMesh(**jax.device_put(arrays), topology=make_topology(triangles, int(starts[-1])))


def _shade(name: str, part: FacePart) -> np.ndarray:
    """[V] of the light that reaches the face, how much reaches a part's vertices."""
    if name != "teeth":
        return np.full(len(part.mean), _MOUTH_SHADE)
    depth = part.mean[:, 2].max() - part.mean[:, 2]
    return _MOUTH_SHADE * np.interp(depth, _TEETH_DEPTH, _TEETH_SHADE)


def parts_of(model: Any) -> PartsMesh | None:
    """The drawn parts that belong to a face model, as one mesh; None if it has none.

    Raises:
      InputError: the parts of the model's file cannot be read.
    """
    key = _file_of(model)
    return None if key is None else _joined_parts(*key)


def drawn_parts(model: Any) -> dict[str, FacePart]:
    """The same by their names.

    Raises:
      InputError: the parts of the model's file cannot be read.
    """
    key = _file_of(model)
    return {} if key is None else _drawn_parts(*key)


def _file_of(model: Any) -> tuple[str, str] | None:
    """The file that has a model's parts ("" for the package's own), and the name of the model in it."""
    if not isinstance(model, BaseModel):
        return None
    name = model.name.partition(", ")[0]  # behind it the name says how many of the reflectance modes are left
    return (model.file, name) if model.file or name == load_face_model().name else None


@cache
def _joined_parts(file: str, name: str) -> PartsMesh | None:
    parts = _drawn_parts(file, name)
    with jax.ensure_compile_time_eval():
        return join_parts(parts) if parts else None


@cache
def _drawn_parts(file: str, name: str) -> dict[str, FacePart]:
    """`name` tells files apart that one path had one after the other."""
    parts = load_face_parts(file or None) if has_face_parts(file or None) else {}
    return {kind: part for kind, part in parts.items() if kind not in NOT_DRAWN}


def parts_vertices(parts: PartsMesh, code: FaceCode) -> Float[np.ndarray, "V 3"]:
    """The parts' vertices in model space, mm; NumPy, for pictures and files."""
    by_identity = weighted_sum_plain(np.asarray(code.identity), np.asarray(parts.identity))
    by_expression = weighted_sum_plain(np.asarray(code.expression), np.asarray(parts.expression))
    return np.asarray(parts.mean) + by_identity + by_expression


def parts_geometry(parts: PartsMesh, code: FaceCode) -> Float[Array, "V 3"]:
    """The parts' vertices in model space, mm; JAX."""
    return parts.mean + weighted_sum(code.identity, parts.identity) + weighted_sum(code.expression, parts.expression)


@jax.jit
def form_parts(parts: PartsMesh, code: FaceCode) -> Points:
    """The parts' points under a code's pose and light, which is weaker within the mouth.

    As one program it computes vertices anew for each triangle: where that takes too long, call its steps.
    """
    reflected = parts.shade[:, None] * parts.reflectance
    return form_points_of(parts.topology, parts_geometry(parts, code), reflected, code=code)


def joined_triangles(vertex_count: int, triangles: Int[Array, "T 3"], parts: PartsMesh) -> Int[np.ndarray, "faces 3"]:
    """The triangles of a mesh of so many vertices with those of the parts behind them."""
    return np.concatenate([np.asarray(triangles), parts.triangles + vertex_count])


def joined_rows(first: Float[Array, "N C"], second: Float[Array, "V C"]) -> Float[np.ndarray, "rows C"]:
    """Rows of a mesh's vertices with rows of the parts' vertices behind them."""
    return np.concatenate([np.asarray(first), np.asarray(second)])
