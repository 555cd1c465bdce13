"""Data terms: differences between a face and its photo, eq. 9 and 10, for one sample."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.landmarks import CONTOUR, INNER_MOUTH_CORNERS, contour_by_rays, landmarks68
from fml_jax.image_formation.camera import project, view_rays
from fml_jax.image_formation.points import Points
from fml_jax.ops.arrays import Array
from fml_jax.ops.dot_products import guarded_lengths

# F of the paper: 66 landmarks.
PAPER_LANDMARKS = np.array([k not in INNER_MOUTH_CORNERS for k in range(68)])


def photometric_residuals(
    points: Points, observed: Float[Array, "N 3"], region: Bool[Array, "N"] | Float[Array, "N"]
) -> tuple[Float[Array, "N"], Bool[Array, "N"] | Float[Array, "N"]]:
    """‖I(u_i) − c_i‖₂ for every vertex (eq. 9 before its sum) and the members of V̄.

    Args:
      observed: I(u_i), the crop sampled at the points' pixels (`sample_bilinear`).
      region: mask of the vertices that count, for example the model's "face" region, or a weight
        ≥ 0 for each vertex.
    """
    return guarded_lengths(observed - points.colours), points.visible * region


def landmark_residuals(
    model: BaseModel,
    points: Points,
    rotation: Float[Array, "3 3"],
    *,
    observed: Float[Array, "68 2"],
    contour: str,
) -> Float[Array, "68 2"]:
    """f − u_{k_f} in pixels (eq. 10): fixed points by their place on the mesh, the contour sliding."""
    positions = landmarks68(model.landmarks, points.positions, rotation)
    if contour == "rays":
        nearest = contour_by_rays(model.landmarks, points.positions, view_rays(observed[:CONTOUR]))
        positions = positions.at[:CONTOUR].set(nearest)
    elif contour != "pose":
        raise ValueError(f"contour must be 'rays' or 'pose', not {contour!r}")
    return observed - project(positions)


def landmark_energy(residuals: Float[Array, "68 2"], confidence: Float[Array, "68"]) -> Float[Array, ""]:
    """E_sparse (eq. 10): 1/|F| Σ_f c_f ‖f − u_{k_f}‖², squared pixels."""
    return jnp.sum(PAPER_LANDMARKS * confidence * jnp.sum(residuals**2, axis=1)) / PAPER_LANDMARKS.sum()


def photometric_energy(residuals: Float[Array, "N"], members: Float[Array, "N"]) -> Float[Array, ""]:
    """E_photo (eq. 9), one level: the ℓ2,1 norm over V̄.

    Divided by the region's visible vertices where the paper divides by all N, so that the weight
    means the same for a profile, a half-masked crop and any detail of the mesh.
    """
    return jnp.sum(members * residuals) / jnp.maximum(jnp.sum(members), 1.0)
