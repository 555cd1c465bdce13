"""Losses of the local stages (not in the paper): measured points, and the points of the codes updated to them."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float

from fml_jax.image_formation.local_points import LOWER, UPPER
from fml_jax.ops.arrays import Array
from fml_jax.ops.dot_products import guarded_lengths


class LocalWeights(NamedTuple):
    """Weights of the local stages' losses; each is a mean over points. All but `start` are also means over stages."""

    points: float = 1.0  # negative log likelihood of the true points under the measured ones
    distance: float = 1.0  # [px], distance of the updated code's points from the true ones
    start: float = 0.0  # [px], distance of the encoder's own points from the true ones
    openings: float = 0.0  # [px], error of how far the updated code's lids and lips stand apart


def point_likelihood_energy(
    measured: Float[Array, "P 2"],
    whitening: Float[Array, "P 2 2"],
    true: Float[Array, "P 2"],
    *,
    confidence: Float[Array, "P"],
) -> Float[Array, ""]:
    """Mean over points of ‖Lᵀ (true − measured)‖ − log |L|, weighted by confidence.

    It is the negative log likelihood, without its constant, of a density that falls off exponentially with the
    whitened distance. A Gaussian's would give detected landmarks that are far off too much influence.

    Args:
      whitening: L, lower triangular, with a positive diagonal; 1/pixels.
    """
    white = guarded_lengths(jnp.einsum("pab,pa->pb", whitening, true - measured))
    log_volume = jnp.log(whitening[:, 0, 0]) + jnp.log(whitening[:, 1, 1])
    return jnp.sum(confidence * (white - log_volume)) / len(confidence)


def point_distance_energy(
    points: Float[Array, "P 2"], true: Float[Array, "P 2"], confidence: Float[Array, "P"]
) -> Float[Array, ""]:
    """Mean distance of points, weighted by confidence, pixels."""
    return jnp.sum(confidence * guarded_lengths(points - true)) / len(confidence)


def opening_energy(
    points: Float[Array, "P 2"], true: Float[Array, "P 2"], confidence: Float[Array, "P"]
) -> Float[Array, ""]:
    """Mean error of the vectors from lower to upper lids and lips, weighted by confidence, pixels.

    A mean distance of all points hardly notices an eye that is closed and comes out half open: four of 82 points are a
    pixel or two away, and each lid for itself looks nearly right.
    """
    error = (points[UPPER] - points[LOWER]) - (true[UPPER] - true[LOWER])
    known = jnp.minimum(confidence[UPPER], confidence[LOWER])
    return jnp.sum(known * guarded_lengths(error)) / len(UPPER)
