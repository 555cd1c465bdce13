"""Pose and shape from landmarks: damped Gauss–Newton (Levenberg–Marquardt) on E_sparse and E_std."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from fml_jax.codes import POSE_AND_LIGHT, FaceCode, code_from_network, network_from_code
from fml_jax.face_model.base import BaseModel, geometry
from fml_jax.fitting.energy import IDENTITY, WEIGHTS
from fml_jax.fitting.least_squares import least_squares
from fml_jax.image_formation.landmark_projection import project_landmarks
from fml_jax.losses import PAPER_LANDMARKS
from fml_jax.ops.arrays import Array
from fml_jax.ops.modes import weighted_sum_plain

STEPS = 12


@jax.jit
def fit_landmarks(
    model: BaseModel,
    code: FaceCode,
    landmarks: Float[Array, "68 2"],
    *,
    confidence: Float[Array, "68"],
    person: Float[Array, "K"] | None = None,
) -> FaceCode:
    """R, t and α that minimise E_sparse and E_std (eq. 10 and 11); reflectance and illumination are unchanged.

    Args:
      model: a face model, or a restriction of it that keeps the landmarks' vertices.
      code: the initial code.
      landmarks: iBUG points in pixels of the crop.
      confidence: c_f of eq. 10, at least 0; 0 excludes a landmark.
      person: α_s at which the prior on identity is centred; None is the mean face, as in eq. 11.
    """
    sizes = model.code_sizes
    shape_size = sizes.identity + sizes.expression
    start = jnp.asarray(network_from_code(code))
    free = jnp.concatenate([jnp.arange(shape_size), sizes.total - POSE_AND_LIGHT + jnp.arange(6)])
    centre, weights = jnp.zeros(shape_size), jnp.full(shape_size, WEIGHTS.reg)
    if person is not None:
        centre, weights = centre.at[: sizes.identity].set(person), weights.at[: sizes.identity].set(IDENTITY)
    landmark_scale = jnp.sqrt(WEIGHTS.sparse * PAPER_LANDMARKS * confidence / PAPER_LANDMARKS.sum())

    def residuals(values):
        candidate = code_from_network(start.at[free].set(values), sizes)
        vertices = geometry(model, candidate.identity, candidate.expression, summed=weighted_sum_plain)
        gaps = project_landmarks(model, candidate, vertices) - landmarks
        prior = jnp.sqrt(weights) * (values[:shape_size] - centre)
        return jnp.concatenate([(landmark_scale[:, None] * gaps).ravel(), prior])

    values = least_squares(residuals, start[free], steps=STEPS)
    return code_from_network(start.at[free].set(values), sizes)
