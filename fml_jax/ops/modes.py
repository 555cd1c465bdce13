"""Weighted sums of modes: what every affine map of the face model, fixed or learned, spends its time on."""

from jaxtyping import Float

from fml_jax.ops.arrays import Array
from fml_jax.ops.products import product


def weighted_sum(weights: Float[Array, "*batch K"], modes: Float[Array, "K N 3"]) -> Float[Array, "*batch N 3"]:
    """Σ_k w_k m_k; differentiable backward only, in less time than `plain_sum`."""
    return product(weights, modes)


def plain_sum(weights: Float[Array, "*batch K"], modes: Float[Array, "K N 3"]) -> Float[Array, "*batch N 3"]:
    """The same, differentiable forward and backward."""
    return (weights @ modes.reshape(len(modes), -1)).reshape(*weights.shape[:-1], *modes.shape[1:])
