"""Supervised losses: errors against the known codes of synthetic faces, and the crop's score (not in the paper)."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel, geometry
from fml_jax.face_model.landmarks import landmarks478
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.illumination import shading
from fml_jax.image_formation.landmark_projection import project_landmarks
from fml_jax.image_formation.rotation import rotation_matrix
from fml_jax.image_formation.sphere import fibonacci_sphere
from fml_jax.ops.arrays import Array
from fml_jax.ops.dot_products import guarded_lengths

# MediaPipe's points that lie farthest from iBUG's and from each other: cheeks, forehead, sides of the nose.
SPREAD_POINTS = np.array(
    [10, 21, 54, 67, 103, 117, 123, 126, 132, 137, 143, 187, 205, 211, 213, 214]
    + [251, 262, 284, 297, 332, 346, 352, 355, 361, 366, 368, 372, 411, 425, 433, 434]
)

# Means are over every fourth vertex: neighbours move alike, and the cost is a quarter.
_THINNING = 4


class SupervisedWeights(NamedTuple):
    """Weights of the errors against a synthetic face's known code; the unit of each in brackets."""

    pixels: float = 1.0  # [px], mean distance of projected vertices
    keypoints: float = 1.0  # [px], mean distance of an encoder's own keypoints, where it has some
    rotation: float = 20.0  # [1], squared Frobenius distance
    depth: float = 20.0  # [1], squared log ratio
    identity: float = 0.3  # [mm²]
    expression: float = 0.5  # [mm²]
    reflectance: float = 200.0  # [RGB²]
    shading: float = 20.0  # [1], squared, over the sphere of normals


def supervised_energy(
    model: BaseModel,
    code: FaceCode,
    true: FaceCode,
    *,
    weights: SupervisedWeights,
    keypoints: Float[Array, "100 2"] | None = None,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The error of a code against the known code of a synthetic face: the warm start's loss (not in the paper).

    Errors are differences in millimetres, pixels and colours, not differences between codes, so that each
    mode is weighted by its effect.

    Args:
      keypoints: the encoder's prediction of `keypoint_pixels`, crop pixels.
    """
    terms = {
        "pixels": jnp.mean(guarded_lengths(_thinned_pixels(model, code) - _thinned_pixels(model, true))),
        "rotation": jnp.sum((rotation_matrix(code.rotation) - rotation_matrix(true.rotation)) ** 2),
        "depth": jnp.log(jnp.maximum(code.translation[2], 1.0) / true.translation[2]) ** 2,
        "identity": _mode_error(model.identity, code.identity - true.identity),
        "expression": _mode_error(model.expression, code.expression - true.expression),
        "reflectance": _mode_error(model.reflectance, code.reflectance - true.reflectance),
        "shading": _shading_error(code.illumination - true.illumination),
    }
    if keypoints is not None:
        aims = keypoint_pixels(model, true)
        terms["keypoints"] = jnp.mean(guarded_lengths(keypoints - aims))
    return sum(getattr(weights, name) * value for name, value in terms.items()), terms


def keypoint_pixels(model: BaseModel, code: FaceCode) -> Float[Array, "100 2"]:
    """The target positions of an encoder's keypoints: iBUG's 68, then `SPREAD_POINTS`, pixels of the crop."""
    vertices = geometry(model, code.identity, code.expression)
    spread = landmarks478(model.landmarks, vertices)[SPREAD_POINTS]
    spread = project(to_camera(spread, code.rotation, code.translation))
    return jnp.concatenate([project_landmarks(model, code, vertices), spread])


def keypoint_energy(
    keypoints: Float[Array, "100 2"], landmarks: Float[Array, "68 2"], confidence: Float[Array, "68"]
) -> Float[Array, ""]:
    """Mean distance of an encoder's first 68 keypoints from detected landmarks, weighted by confidence, pixels."""
    return jnp.mean(confidence * guarded_lengths(keypoints[:68] - landmarks))


def score_energy(logit: Float[Array, ""], is_face: Float[Array, ""]) -> Float[Array, ""]:
    """Cross-entropy of the crop's score; the target is 1 for a well-framed face and 0 otherwise."""
    import optax  # a tenth of a second, and only trainings need it

    return optax.sigmoid_binary_cross_entropy(logit, is_face)


def _mode_error(modes, difference):
    """Mean over vertices of the squared displacement caused by a difference between codes."""
    moved = jnp.einsum("k,knc->nc", difference, modes[:, ::_THINNING])
    return jnp.mean(jnp.sum(moved**2, axis=1))


def _thinned_pixels(model, code):
    modes = jnp.concatenate([model.identity[:, ::_THINNING], model.expression[:, ::_THINNING]])
    moved = jnp.einsum("k,knc->nc", jnp.concatenate([code.identity, code.expression]), modes)
    return project(to_camera(model.mean[::_THINNING] + moved, code.rotation, code.translation))


def _shading_error(gamma_difference):
    """Mean squared difference of shading over the normals that a camera can see (z < 0)."""
    return jnp.mean(jnp.sum(shading(jnp.asarray(_VISIBLE_NORMALS), gamma_difference) ** 2, axis=1))


_VISIBLE_NORMALS = fibonacci_sphere(64, top=0.0).astype(np.float32)
