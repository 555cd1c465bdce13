"""Losses against known answers: synthetic faces' codes and the crop's score (not in the paper)."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from fml_jax.arrays import Array
from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel
from fml_jax.image_formation.illumination import shading
from fml_jax.image_formation.points import form_points
from fml_jax.image_formation.rotation import rotation_matrix


class SupervisedWeights(NamedTuple):
    """Weights of the errors against a synthetic face's known code; the unit of each in brackets."""

    pixels: float = 1.0  # [px], mean distance of all projected vertices
    rotation: float = 20.0  # [1], squared Frobenius distance
    depth: float = 20.0  # [1], squared log ratio
    identity: float = 0.3  # [mm²]
    expression: float = 0.5  # [mm²]
    reflectance: float = 200.0  # [RGB²]
    shading: float = 20.0  # [1], squared, over the sphere of normals


def supervised_energy(
    model: BaseModel, code: FaceCode, true: FaceCode, weights: SupervisedWeights
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """How far a code is from a synthetic face's known one: the warm start's loss (not in the paper).

    Errors are taken where they are seen (millimetres, pixels, colours) and not between codes, so
    that each mode counts for what it moves.
    """
    points, truth = form_points(model, code), form_points(model, true)
    terms = {
        "pixels": jnp.mean(_guarded_norm(points.pixels - truth.pixels)),
        "rotation": jnp.sum((rotation_matrix(code.rotation) - rotation_matrix(true.rotation)) ** 2),
        "depth": jnp.log(jnp.maximum(code.translation[2], 1.0) / true.translation[2]) ** 2,
        "identity": _mode_error(model.identity, code.identity - true.identity),
        "expression": _mode_error(model.expression, code.expression - true.expression),
        "reflectance": _mode_error(model.reflectance, code.reflectance - true.reflectance),
        "shading": _shading_error(code.illumination - true.illumination),
    }
    return sum(getattr(weights, name) * value for name, value in terms.items()), terms


def score_energy(logit: Float[Array, ""], is_face: Float[Array, ""]) -> Float[Array, ""]:
    """Cross-entropy of the crop's score: does the crop show a face, framed as it should be?"""
    return optax.sigmoid_binary_cross_entropy(logit, is_face)


def _mode_error(modes, difference):
    """Mean over vertices of the squared distance that a difference between codes makes."""
    moved = jnp.einsum("k,knc->nc", difference, modes)
    return jnp.mean(jnp.sum(moved**2, axis=1))


def _shading_error(gamma_difference):
    """Mean squared difference of shading over the normals that a camera can see (z < 0)."""
    return jnp.mean(jnp.sum(shading(jnp.asarray(_VISIBLE_NORMALS), gamma_difference) ** 2, axis=1))


def _hemisphere(count: int) -> np.ndarray:
    """Unit directions spread evenly over z < 0 (a Fibonacci spiral), [count, 3]."""
    k = np.arange(count) + 0.5
    z, angle = -k / count, np.pi * (1 + 5**0.5) * k
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1).astype(np.float32)


_VISIBLE_NORMALS = _hemisphere(64)


def _guarded_norm(vectors):
    return jnp.sqrt(jnp.sum(vectors**2, axis=-1) + 1e-8)
