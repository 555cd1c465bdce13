"""The levels at which a reconstruction is measured, and its face without expression."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float

from fml_jax.face_model.base import BaseModel
from fml_jax.reconstruction.reconstruction import Reconstruction
from fml_jax.reconstruction.refinement import refine

MEAN, BASE, FINAL, REFINED = "mean face", "base level", "final level", "refined"

Errors = dict[str, float]


def levels_of(face: Reconstruction, *, refined: bool) -> Iterator[tuple[str, Reconstruction]]:
    """The face at each level that its network has, by name; with `refined` also after its refinement on the photo."""
    yield BASE, face.level("base")
    if face.final_code is not None:
        yield FINAL, face
    if refined:
        yield REFINED, refine(face)


def errors_by_level(
    face: Reconstruction, measure: Callable[[BaseModel, np.ndarray], Errors], *, refined: bool
) -> dict[str, Errors]:
    """What is measured of the vertices [N, 3] of the model's mean face and of each level."""
    errors = {MEAN: measure(face.model, np.asarray(face.model.mean, np.float64))}
    for name, level in levels_of(face, refined=refined):
        errors[name] = measure(level.model, np.asarray(level.vertices, np.float64))
    return errors


def without_expression(face: Reconstruction) -> Float[np.ndarray, "N 3"]:
    """The face's vertices without the part of its expression modes (eq. 3), mm; corrections stay."""
    expression = np.tensordot(np.asarray(face.code.expression), np.asarray(face.model.expression), 1)
    return np.asarray(face.vertices, np.float64) - expression
