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
    """Weights of the base level's energy (w_• of the paper) and how its contour slides.

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

    All of `std` … `sta` stand under `reg` as well (eq. 6 and 8).
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
    terms = {
        "sparse": _sparse(model, points, code, landmarks, confidence, weights.contour),
        "photo": _photometric(model, points, *_observed(points, image, mask)),
        "std": statistical_energy(code, weights.rstd),
    }
    total = weights.sparse * terms["sparse"] + weights.photo * terms["photo"] + weights.reg * terms["std"]
    return total, terms


def full_energy(
    model: BaseModel,
    corrections: Corrections,
    code: FinalCode,
    image: Float[Array, "H W 3"],
    landmarks: Float[Array, "68 2"],
    confidence: Float[Array, "68"],
    weights: FullWeights,
    key: Key[Array, ""],
    mask: Float[Array, "H W"] | None = None,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """E_total of both levels (eq. 6–15) for one crop.

    Args:
      corrections: what the correctives make of the code's δ, so that gradients reach both.
      key: draws the skin pairs of eq. 14.
      mask: as for `base_energy`; for eq. 13 see `chromaticity_weights`, whose `known` it is.
      The others are those of `base_energy`.

    Returns:
      the energy, and its terms before weighting: "sparse", "photo_base", "photo_final", "std",
      "smo", "ref", "glo" and "sta".
    """
    levels = form_both_levels(model, code, corrections)
    return energy_of_points(model, *levels, corrections, code, image, landmarks, confidence, weights, key, mask)


def energy_of_points(
    model: BaseModel,
    base: Points,
    final: Points,
    corrections: Corrections,
    code: FinalCode,
    image: Float[Array, "H W 3"],
    landmarks: Float[Array, "68 2"],
    confidence: Float[Array, "68"],
    weights: FullWeights,
    key: Key[Array, ""],
    mask: Float[Array, "H W"] | None = None,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """`full_energy` of points that are formed already, by `form_both_levels`."""
    of_base, of_final = (_observed(points, image, mask) for points in (base, final))
    terms = {
        "sparse": _sparse(model, base, code.base, landmarks, confidence, weights.contour),
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


def _sparse(model: BaseModel, points: Points, code: FaceCode, landmarks, confidence, contour: str):
    gaps = landmark_residuals(model, points, rotation_matrix(code.rotation), landmarks, contour)
    return landmark_energy(gaps, confidence)


def _observed(points: Points, image, mask):
    """What the crop shows at the points' pixels, [N, 3], and how far it is the face there, [N] (None without a mask)."""
    if mask is None:
        return sample_bilinear(image, points.pixels), None
    both = sample_bilinear(jnp.concatenate([image, mask[..., None]], axis=-1), points.pixels)
    return both[:, :3], jax.lax.stop_gradient(both[:, 3])


def _photometric(model: BaseModel, points: Points, seen, known):
    residuals, members = photometric_residuals(points, seen, model.regions["face"])
    members = members.astype(seen.dtype)
    return photometric_energy(residuals, members if known is None else members * known)


def _local_sparsity(model: BaseModel, final: Points, seen, known):
    weights = chromaticity_weights(seen, model.topology, known)
    return sparsity_energy(final.reflectance, weights, model.topology)


def _global_constancy(model: BaseModel, final: Points, key):
    return constancy_energy(final.reflectance, draw_skin_pairs(key, model.regions["skin"]))
