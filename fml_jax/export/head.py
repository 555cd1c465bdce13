"""A reconstruction as an animator's head: the neutral face, shapes that move it, and its parts as surfaces.

The mesh is neutral + Σ_k weight_k · target_k. The targets are ARKit's named shapes with the weights in [0, 1] that come
nearest to the face's expression, and REST: what is left of the expression, with weight 1. So the weights of the file
show the face as it was reconstructed, and weights of zero show the same person with a neutral face.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.files import FacePart, load_face_parts
from fml_jax.face_model.topology import mesh_normals
from fml_jax.fitting.named_shapes import named_shapes
from fml_jax.image_formation.parts import NOT_DRAWN, parts_of

REST = "rest"  # the target that completes the face's own expression
EYES = "eyes"
SKIN = "skin"


class Surface(NamedTuple):
    """A part of a head with V vertices; colours come from texture coordinates or from vertices."""

    name: str
    neutral: np.ndarray  # [V, 3] mm
    normals: np.ndarray  # [V, 3] unit, of the neutral surface
    targets: np.ndarray  # [K, V, 3] mm, displacements
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
    if parts_of(face.model) is not None:
        surfaces += [_part_surface(name, part, face, codes) for name, part in _parts().items()]
    return Head(surfaces, tuple(names), weights)


def _own_surfaces(face: Any, codes: np.ndarray) -> list[Surface]:
    """Skin and eyes; their vertices are the model's rows of texture coordinates, so that seams are cut."""
    model = face.model
    modes = np.asarray(model.expression)
    neutral = np.asarray(face.vertices) - np.tensordot(np.asarray(face.code.expression), modes, 1)
    targets = np.tensordot(codes, modes, 1)
    uv, uv_triangles, triangles = (np.asarray(a) for a in (model.uv, model.uv_triangles, model.topology.triangles))
    normals = _normals(triangles, neutral)
    eye_vertices = np.asarray(model.regions.get(EYES, np.zeros(len(neutral), bool)))
    of_eyes = eye_vertices[triangles].all(axis=1)
    surfaces = []
    for name, chosen in ((SKIN, ~of_eyes), (EYES, of_eyes)):
        if chosen.any():
            rows, corners = np.unique(uv_triangles[chosen], return_inverse=True)
            vertices = _vertex_of_uv(model)[rows]
            surfaces.append(
                Surface(
                    name,
                    neutral[vertices],
                    normals[vertices],
                    targets[:, vertices],
                    corners.reshape(-1, 3),
                    uv=uv[rows],
                )
            )
    return surfaces


def _vertex_of_uv(model: BaseModel) -> np.ndarray:
    """The vertex that each row of texture coordinates belongs to."""
    vertices = np.zeros(len(model.uv), np.int64)
    vertices[np.asarray(model.uv_triangles).ravel()] = np.asarray(model.topology.triangles).ravel()
    return vertices


def _part_surface(name: str, part: FacePart, face: Any, codes: np.ndarray) -> Surface:
    neutral = part.mean + np.tensordot(np.asarray(face.code.identity), part.identity, 1)
    return Surface(
        name,
        neutral,
        _normals(part.triangles, neutral),
        np.tensordot(codes, part.expression, 1),
        part.triangles,
        colours=part.reflectance,
    )


@cache
def _parts() -> dict[str, FacePart]:
    return {name: part for name, part in load_face_parts().items() if name not in NOT_DRAWN}


def _normals(triangles: np.ndarray, vertices: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
    """`mesh_normals`, where a vertex without a surface around it has some unit vector, as file formats ask."""
    normals = mesh_normals(triangles, vertices)
    normals[~normals.any(axis=1)] = [0, 0, 1]
    return normals
