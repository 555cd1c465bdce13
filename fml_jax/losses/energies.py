"""The energy of the base level and of both levels (eq. 6–8), for one sample; batches are made by `vmap` outside.

Each returns a scalar with a dict of its terms before weighting.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Key

from fml_jax.codes import FaceCode, FinalCode
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.correctives import Corrections
from fml_jax.image_formation.points import Points, form_both_levels, form_points
from fml_jax.image_formation.rotation import rotation_matrix
from fml_jax.losses.data_terms import landmark_energy, landmark_residuals, photometric_energy, photometric_residuals
from fml_jax.losses.observation import Observation
from fml_jax.losses.regularisers import (
    chromaticity_weights,
    constancy_energy,
    draw_skin_pairs,
    smoothness_energy,
    sparsity_energy,
    stabilisation_energy,
    statistical_energy,
)
from fml_jax.ops.arrays import Array
from fml_jax.ops.sampling import sample_bilinear


class BaseWeights(NamedTuple):
    """Weights of the base level's energy (w_• of the paper) and the rule for its sliding contour.

    `sparse` is 1 in the paper; E_sparse is in squared pixels of the 240-pixel crop.
    """

    photo: float = 1.9
    sparse: float = 1.0
    reg: float = 3e-5
    rstd: float = 0.002
    contour: str = "rays"  # "rays": eq. 10's nearest candidate; "pose": the stored contour of the yaw
    keypoints: float = 0.0  # [px], mean distance of an encoder's own keypoints from the landmarks (not the paper's)


class FullWeights(NamedTuple):
    """Weights of both levels' energy: the paper's of its second stage, `BaseWeights`' fields first.

    `std` … `sta` are multiplied by `reg` as well (eq. 6 and 8).
    """

    photo: float = 0.2
    sparse: float = 1.0
    reg: float = 0.003
    rstd: float = 0.002
    smo: float = 3.2e4
    ref: float = 13.0
    glo: float = 80.0
    sta: float = 0.08
    contour: str = "rays"
    keypoints: float = 0.0


def base_energy(
    model: BaseModel, code: FaceCode, observation: Observation, *, weights: BaseWeights
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """E_total of the base level (eq. 6 with eq. 9–11) for one crop.

    Returns:
      the energy, and its terms "sparse", "photo", "std" before weighting.

    Raises:
      ValueError: `weights.contour` is neither "rays" nor "pose".
    """
    points = form_points(model, code)
    terms = {
        "sparse": _landmark_term(model, points, code, observation, weights.contour),
        "photo": _photometric(model, points, *_observed(points, observation)),
        "std": statistical_energy(code, weights.rstd),
    }
    total = weights.sparse * terms["sparse"] + weights.photo * terms["photo"] + weights.reg * terms["std"]
    return total, terms


def full_energy(
    model: BaseModel,
    code: FinalCode,
    observation: Observation,
    *,
    corrections: Corrections,
    weights: FullWeights,
    key: Key[Array, ""],
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """E_total of both levels (eq. 6–15) for one crop.

    Args:
      observation: its mask is also the `known` of `chromaticity_weights` (eq. 13).
      corrections: F(δ), computed by the caller from the code's δ, so that gradients reach both δ and Θ.
      key: draws the skin pairs of eq. 14.

    Returns:
      the energy, and its terms before weighting: "sparse", "photo_base", "photo_final", "std",
      "smo", "ref", "glo" and "sta".

    Raises:
      ValueError: `weights.contour` is neither "rays" nor "pose".
    """
    base, final = form_both_levels(model, code, corrections)
    return energy_of_points(
        model, base, final, code=code, observation=observation, corrections=corrections, weights=weights, key=key
    )


def energy_of_points(
    model: BaseModel,
    base: Points,
    final: Points,
    *,
    code: FinalCode,
    observation: Observation,
    corrections: Corrections,
    weights: FullWeights,
    key: Key[Array, ""],
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """`full_energy` of points that `form_both_levels` has already computed."""
    of_base, of_final = (_observed(points, observation) for points in (base, final))
    terms = {
        "sparse": _landmark_term(model, base, code.base, observation, weights.contour),
        "photo_base": _photometric(model, base, *of_base),
        "photo_final": _photometric(model, final, *of_final),
        "std": statistical_energy(code.base, weights.rstd),
        "smo": smoothness_energy(corrections.geometry, model.topology),
        "ref": _local_sparsity(model, final, *of_final),
        "glo": _global_constancy(model, final, key),
        "sta": stabilisation_energy(corrections.geometry),
    }
    data = weights.sparse * terms["sparse"] + weights.photo * (terms["photo_base"] + terms["photo_final"])
    weighted = (getattr(weights, name) * terms[name] for name in ("smo", "ref", "glo", "sta"))
    return data + weights.reg * (terms["std"] + sum(weighted)), terms


def _landmark_term(model: BaseModel, points: Points, code: FaceCode, observation: Observation, contour: str):
    rotation = rotation_matrix(code.rotation)
    residuals = landmark_residuals(model, points, rotation, observed=observation.landmarks, contour=contour)
    return landmark_energy(residuals, observation.confidence)


def _observed(points: Points, observation: Observation):
    """The crop's colours at the points' pixels, [N, 3], and its mask there, [N] (None without a mask)."""
    image, mask = observation.image, observation.mask
    if mask is None:
        return sample_bilinear(image, points.pixels), None
    both = sample_bilinear(jnp.concatenate([image, mask[..., None]], axis=-1), points.pixels)
    return both[:, :3], jax.lax.stop_gradient(both[:, 3])


def _photometric(model: BaseModel, points: Points, observed, known):
    residuals, members = photometric_residuals(points, observed, model.regions["face"])
    members = members.astype(observed.dtype)
    return photometric_energy(residuals, members if known is None else members * known)


def _local_sparsity(model: BaseModel, final: Points, observed, known):
    weights = chromaticity_weights(observed, model.topology, known)
    return sparsity_energy(final.reflectance, weights, model.topology)


def _global_constancy(model: BaseModel, final: Points, key):
    return constancy_energy(final.reflectance, draw_skin_pairs(key, model.regions["skin"]))
