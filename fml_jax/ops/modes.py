"""Weighted sums of modes: the operation on which every affine map of the face model spends its time."""

import math

from jaxtyping import Float

from fml_jax.ops.arrays import Array
from fml_jax.ops.products import product


def weighted_sum(weights: Float[Array, "*batch K"], modes: Float[Array, "K N 3"]) -> Float[Array, "*batch N 3"]:
    """Σ_k w_k m_k, by `product`; it supports reverse-mode differentiation only."""
    return product(weights, modes)


def weighted_sum_plain(weights: Float[Array, "*batch K"], modes: Float[Array, "K N 3"]) -> Float[Array, "*batch N 3"]:
    """Σ_k w_k m_k, without custom derivatives: for forward-mode differentiation, too."""
    flat = modes.reshape(len(modes), math.prod(modes.shape[1:]))
    return (weights @ flat).reshape(*weights.shape[:-1], *modes.shape[1:])
