"""A reconstruction as an animator's head: the neutral face, shapes that move it, and its parts as surfaces.

The mesh is neutral + Σ_k weight_k · target_k. The targets are ARKit's named shapes with the weights in [0, 1] that come
nearest to the face's expression, and REST: what is left of the expression, with weight 1. So the weights of the file
show the face as it was reconstructed, and weights of zero show the same person with a neutral face.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.files import FacePart
from fml_jax.face_model.topology import mesh_normals
from fml_jax.fitting.named_shapes import named_shapes
from fml_jax.image_formation.parts import drawn_parts
from fml_jax.ops.modes import weighted_sum_plain

REST = "rest"  # the target that completes the face's own expression
EYES = "eyes"
SKIN = "skin"


class Shapes:
    """Displacements of a surface that all heads with the same shapes share."""

    def __init__(self, displacements: Float[np.ndarray, "shapes V 3"]) -> None:
        """`displacements`: mm."""
        self._displacements = displacements
        self._split: dict[float, tuple[np.ndarray, np.ndarray]] = {}

    def split(self, least: float) -> tuple[Float[np.ndarray, "shapes V 3"], Float[np.ndarray, "shapes V 3"]]:
        """The displacements of more than `least` mm, zero elsewhere, and the others; computed once."""
        if least not in self._split:
            moves = self._displacements
            large = np.where((np.einsum("kvc,kvc->kv", moves, moves) > least**2)[..., None], moves, 0)
            self._split[least] = large, moves - large
        return self._split[least]


class Surface(NamedTuple):
    """A part of a head with V vertices; colours come from texture coordinates or from vertices."""

    name: str
    neutral: np.ndarray  # [V, 3] mm
    normals: np.ndarray  # [V, 3] unit, of the neutral surface
    shapes: "Shapes"  # of the first K - 1 targets
    rest: np.ndarray  # [V, 3] mm, displacements of the last target
    triangles: np.ndarray  # [T, 3]
    uv: np.ndarray | None = None  # [V, 2], v up
    colours: np.ndarray | None = None  # [V, 3], sRGB-encoded


class Head(NamedTuple):
    """Surfaces that share their targets."""

    surfaces: list[Surface]
    target_names: tuple[str, ...]  # K
    weights: np.ndarray  # [K], of the face's own expression


def head_of(face: Any) -> Head:
    """The head of a `Reconstruction`; a face model without named shapes has no target but REST."""
    shapes, expression = named_shapes(face.model), np.asarray(face.code.expression)
    if shapes is None:
        weights, codes = np.ones(1), expression[None]
    else:
        solved = shapes.weights(expression)
        weights = np.append(solved, 1.0)
        codes = np.concatenate([shapes.codes, [expression - solved @ shapes.codes]])
    return head_with(face, (*(shapes.names if shapes else ()), REST), codes, weights=weights)


def head_with(
    face: Any, names: Sequence[str], codes: Float[np.ndarray, "K m_e"], *, weights: Float[np.ndarray, "K"]
) -> Head:
    """The head of a `Reconstruction`'s person with targets of one's own.

    Args:
      names: of the targets.
      codes: their expressions.
      weights: of the head as it is stored; the last one is not 0.
    """
    codes = codes.astype(np.float32)
    surfaces = _own_surfaces(face, codes)
    surfaces += [_part_surface(name, part, face, codes) for name, part in drawn_parts(face.model).items()]
    return Head(surfaces, tuple(names), weights)


class _Layout(NamedTuple):
    """Where a surface of V vertices lies in a face model; the same for all its faces."""

    vertices: np.ndarray  # [V] of the model
    triangles: np.ndarray  # [T, 3]
    uv: np.ndarray  # [V, 2]


def _own_surfaces(face: Any, codes: np.ndarray) -> list[Surface]:
    """Skin and eyes; their vertices are the model's rows of texture coordinates, so that seams are cut."""
    model = face.model
    modes, shapes = np.asarray(model.expression), _shared_shapes(model, codes[:-1])
    neutral = np.asarray(face.vertices) - weighted_sum_plain(np.asarray(face.code.expression), modes)
    rest = weighted_sum_plain(codes[-1], modes)
    normals = _normals(np.asarray(model.topology.triangles), neutral)
    return [
        Surface(
            name,
            neutral[at.vertices],
            normals[at.vertices],
            shapes[name],
            rest[at.vertices],
            at.triangles,
            uv=at.uv,
        )
        for name, at in _own_layouts(model).items()
    ]


def _own_layouts(model: BaseModel) -> dict[str, _Layout]:
    """The model's own surfaces that have triangles, by name; made once."""
    key = (model.name, model.vertex_count)
    if key not in _kept_layouts:
        uv, uv_triangles, triangles = (np.asarray(a) for a in (model.uv, model.uv_triangles, model.topology.triangles))
        vertex_of_uv = np.zeros(len(uv), np.int64)
        vertex_of_uv[uv_triangles.ravel()] = triangles.ravel()
        eye_vertices = np.asarray(model.regions.get(EYES, np.zeros(model.vertex_count, bool)))
        of_eyes = eye_vertices[triangles].all(axis=1)
        _kept_layouts[key] = {}
        for name, chosen in ((SKIN, ~of_eyes), (EYES, of_eyes)):
            rows, corners = np.unique(uv_triangles[chosen], return_inverse=True)
            if len(rows):
                _kept_layouts[key][name] = _Layout(vertex_of_uv[rows], corners.reshape(-1, 3), uv[rows])
    return _kept_layouts[key]


_kept_layouts: dict[tuple[str, int], dict[str, _Layout]] = {}


def _shared_shapes(model: BaseModel, codes: np.ndarray) -> dict[str, Shapes]:
    """The shapes of all surfaces; the last ones asked for are kept."""
    key = (model.name, model.vertex_count, codes.tobytes())
    if key not in _kept_shapes:
        moves = np.tensordot(codes, np.asarray(model.expression), 1)
        shapes = {name: Shapes(np.take(moves, at.vertices, axis=1)) for name, at in _own_layouts(model).items()}
        parts = drawn_parts(model)
        shapes |= {name: Shapes(np.tensordot(codes, part.expression, 1)) for name, part in parts.items()}
        _kept_shapes.clear()
        _kept_shapes[key] = shapes
    return _kept_shapes[key]


_kept_shapes: dict[tuple[str, int, bytes], dict[str, Shapes]] = {}


def _part_surface(name: str, part: FacePart, face: Any, codes: np.ndarray) -> Surface:
    neutral = part.mean + weighted_sum_plain(np.asarray(face.code.identity), part.identity)
    return Surface(
        name,
        neutral,
        _normals(part.triangles, neutral),
        _shared_shapes(face.model, codes[:-1])[name],
        weighted_sum_plain(codes[-1], part.expression),
        part.triangles,
        colours=part.reflectance,
    )


def _normals(triangles: np.ndarray, vertices: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
    """`mesh_normals`, where a vertex without a surface around it has some unit vector, as file formats ask."""
    normals = mesh_normals(triangles, vertices)
    normals[~normals.any(axis=1)] = [0, 0, 1]
    return normals
