"""What the viewer needs of a face model, the same for all its faces, as a JSON value."""

import re
from typing import Any

import numpy as np
from jaxtyping import Float

from fml_jax.export.viewer.packing import Packer
from fml_jax.face_model.base import BaseModel
from fml_jax.fitting.named_shapes import named_shapes
from fml_jax.image_formation.drawing import shown_on_photos
from fml_jax.image_formation.parts import joined_triangles, parts_of

FINEST = 0.02  # mm, of positions
_SHAPE_STEP = 0.04  # mm; finer steps make the largest part of a page larger
_LEAST_MOVE = 0.05  # mm; the shapes are sums of modes, whose small remainders far away cost as much as the rest


def model_key(model: BaseModel) -> str:
    """A name, fit for files, that differs where the data of two models may differ."""
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', model.name)}-{model.vertex_count}"


def model_data(model: BaseModel) -> dict[str, Any]:
    """Triangles, the parts' colours, which vertices an overlay shows, and the named expression shapes."""
    key = model_key(model)
    if key not in _made:
        _made[key] = _model_data(model)
    return _made[key]


_made: dict[str, dict[str, Any]] = {}


def _model_data(model: BaseModel) -> dict[str, Any]:
    packer, parts, triangles = Packer(), parts_of(model), np.asarray(model.topology.triangles)
    count = model.vertex_count
    if parts is not None:
        triangles = joined_triangles(count, triangles, parts)
        packer.add_shares("part_colours", np.asarray(parts.shade)[:, None] * np.asarray(parts.reflectance))
        count += len(parts.mean)
    packer.add_indices("triangles", triangles, count)
    packer.add_shares("shown", shown_on_photos(model))
    shapes = named_shapes(model)
    if shapes is not None:
        moved = displacements(model, shapes.codes)
        moved[np.abs(moved).max(axis=-1) < _LEAST_MOVE] = 0
        packer.add_lengths("shapes", moved, _SHAPE_STEP)
    return {
        "vertices": model.vertex_count,
        "names": [] if shapes is None else list(shapes.names),
        **packer.packed(),
    }


def displacements(model: BaseModel, codes: Float[np.ndarray, "K m_e"]) -> Float[np.ndarray, "K vertices 3"]:
    """What expression codes [K, m_e] do to the mesh and the parts behind it, mm."""
    parts = parts_of(model)
    codes = codes.astype(np.float32)
    moved = np.tensordot(codes, np.asarray(model.expression), 1)
    if parts is None:
        return moved
    return np.concatenate([moved, np.tensordot(codes, np.asarray(parts.expression), 1)], axis=1)
