"""Weighted sums of modes: what every affine map of the face model, fixed or learned, spends its time on."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from fml_jax.arrays import Array


@jax.custom_vjp
def weighted_sum(weights: Float[Array, "*batch K"], modes: Float[Array, "K N 3"]) -> Float[Array, "*batch N 3"]:
    """Σ_k w_k m_k.

    Written as products of two matrices, forward and backward: XLA's CPU backend takes ten times as
    long for a contraction over two axes, and twice as long for the weights' gradient where the
    modes are its second factor, as JAX would write it.
    """
    return (weights @ _flat(modes)).reshape(*weights.shape[:-1], *modes.shape[1:])


def _forward(weights, modes):
    return weighted_sum(weights, modes), (weights, modes)


def _backward(saved, cotangent):
    weights, modes = saved
    rows = cotangent.reshape(-1, modes[0].size)
    of_modes = weights.reshape(-1, len(modes)).T @ rows
    return (_flat(modes) @ rows.T).T.reshape(weights.shape), of_modes.reshape(modes.shape)


weighted_sum.defvjp(_forward, _backward)


def _flat(modes):
    return modes.reshape(len(modes), -1)
