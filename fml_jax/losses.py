"""The energy, eq. 6–11, term by term, for one sample; batches are made by `vmap` outside.

Each term returns its residuals before reduction or the sum that its equation states; the energies
at the end weigh them and return a scalar with a dict of the terms' values.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Bool, Float

from fml_jax.arrays import Array
from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.landmarks import CONTOUR, INNER_MOUTH_CORNERS, contour_by_rays, landmarks68
from fml_jax.image_formation.camera import project, view_rays
from fml_jax.image_formation.illumination import shading
from fml_jax.image_formation.points import Points, form_points, sample_bilinear
from fml_jax.image_formation.rotation import rotation_matrix

# F of the paper: 66 landmarks.
PAPER_LANDMARKS = np.array([k not in INNER_MOUTH_CORNERS for k in range(68)])


class BaseWeights(NamedTuple):
    """Weights of the base level's energy (w_• of the paper) and how its contour slides.

    `sparse` is 1 in the paper; E_sparse is in squared pixels of the 240-pixel crop.
    """

    photo: float = 1.9
    sparse: float = 1.0
    reg: float = 3e-5
    rstd: float = 0.002
    contour: str = "rays"  # "rays": eq. 10's nearest candidate; "pose": the stored contour of the yaw


class SupervisedWeights(NamedTuple):
    """Weights of the errors against a synthetic face's known code; the unit of each in brackets."""

    pixels: float = 1.0  # [px], mean distance of all projected vertices
    rotation: float = 20.0  # [1], squared Frobenius distance
    depth: float = 20.0  # [1], squared log ratio
    identity: float = 0.3  # [mm²]
    expression: float = 0.5  # [mm²]
    reflectance: float = 200.0  # [RGB²]
    shading: float = 20.0  # [1], squared, over the sphere of normals


def photometric_residuals(
    points: Points, image: Float[Array, "H W 3"], region: Bool[Array, "N"]
) -> tuple[Float[Array, "N"], Bool[Array, "N"]]:
    """‖I(u_i) − c_i‖₂ for every vertex (eq. 9 before its sum) and the members of V̄.

    Args:
      region: vertices that may count, for example the model's "face" region.
    """
    difference = sample_bilinear(image, points.pixels) - points.colours
    squared = jnp.sum(difference**2, axis=1)
    # The norm's gradient at zero is guarded at the root's argument; 1e-8 is far under one grey level.
    return jnp.sqrt(squared + 1e-8), points.visible & region


def sparse_residuals(
    model: BaseModel, points: Points, rotation: Float[Array, "3 3"], landmarks: Float[Array, "68 2"], contour: str
) -> Float[Array, "68 2"]:
    """f − u_{k_f} in pixels (eq. 10): fixed points by their place on the mesh, the contour sliding."""
    positions = landmarks68(model.landmarks, points.positions, rotation)
    if contour == "rays":
        nearest = contour_by_rays(model.landmarks, points.positions, view_rays(landmarks[:CONTOUR]))
        positions = positions.at[:CONTOUR].set(nearest)
    elif contour != "pose":
        raise ValueError(f"contour must be 'rays' or 'pose', not {contour!r}")
    return landmarks - project(positions)


def sparse_energy(residuals: Float[Array, "68 2"], confidence: Float[Array, "68"]) -> Float[Array, ""]:
    """E_sparse (eq. 10): 1/|F| Σ_f c_f ‖f − u_{k_f}‖², squared pixels."""
    return jnp.sum(PAPER_LANDMARKS * confidence * jnp.sum(residuals**2, axis=1)) / PAPER_LANDMARKS.sum()


def photometric_energy(residuals: Float[Array, "N"], members: Float[Array, "N"]) -> Float[Array, ""]:
    """E_photo (eq. 9), one level: the ℓ2,1 norm over V̄.

    Divided by the region's visible vertices where the paper divides by all N, so that the weight
    means the same for a profile, a half-masked crop and any detail of the mesh.
    """
    return jnp.sum(members * residuals) / jnp.maximum(jnp.sum(members), 1.0)


def statistical_energy(code: FaceCode, rstd: float) -> Float[Array, ""]:
    """E_std (eq. 11): Σ α² + w_rstd Σ β², codes being in standard deviations."""
    geometry = jnp.sum(code.identity**2) + jnp.sum(code.expression**2)
    return geometry + rstd * jnp.sum(code.reflectance**2)


def base_energy(
    model: BaseModel,
    code: FaceCode,
    image: Float[Array, "H W 3"],
    landmarks: Float[Array, "68 2"],
    confidence: Float[Array, "68"],
    weights: BaseWeights,
    mask: Float[Array, "H W"] | None = None,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """E_total of the base level (eq. 6 with eq. 9–11) for one crop.

    Args:
      image: the 240×240 crop, RGB in [0, 1].
      landmarks: detected iBUG points in pixels of the crop; confidence c_f in [0, 1].
      mask: 1 where the crop shows the face itself, 0 where it must not count (borders, occluders).

    Returns:
      the energy, and its terms "sparse", "photo", "std" before weighting.
    """
    points = form_points(model, code)
    residuals, members = photometric_residuals(points, image, model.regions["face"])
    members = members.astype(image.dtype)
    if mask is not None:
        members = members * jax.lax.stop_gradient(sample_bilinear(mask[..., None], points.pixels)[:, 0])
    gaps = sparse_residuals(model, points, rotation_matrix(code.rotation), landmarks, weights.contour)
    terms = {
        "sparse": sparse_energy(gaps, confidence),
        "photo": photometric_energy(residuals, members),
        "std": statistical_energy(code, weights.rstd),
    }
    total = weights.sparse * terms["sparse"] + weights.photo * terms["photo"] + weights.reg * terms["std"]
    return total, terms


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
