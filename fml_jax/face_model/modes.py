"""Weighted sums of modes: what every affine map of the face model, fixed or learned, spends its time on."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from fml_jax.arrays import Array


def weighted_sum(weights: Float[Array, "*batch K"], modes: Float[Array, "K N 3"]) -> Float[Array, "*batch N 3"]:
    """Σ_k w_k m_k of modes that are given; differentiable forward and backward.

    Written as a product of two matrices: XLA's CPU backend takes ten times as long for a contraction
    over two axes.
    """
    return (weights @ _flat(modes)).reshape(*weights.shape[:-1], *modes.shape[1:])


@jax.custom_vjp
def learned_sum(weights: Float[Array, "*batch K"], modes: Float[Array, "K N 3"]) -> Float[Array, "*batch N 3"]:
    """The same of modes that are learned; differentiable backward only.

    There the weights' gradient takes half as long with the modes as its first factor, which is not as JAX would write it.
    """
    return weighted_sum(weights, modes)


def _forward(weights, modes):
    return weighted_sum(weights, modes), (weights, modes)


def _backward(saved, cotangent):
    weights, modes = saved
    rows = cotangent.reshape(-1, modes[0].size)
    of_modes = weights.reshape(-1, len(modes)).T @ rows
    return (_flat(modes) @ rows.T).T.reshape(weights.shape), of_modes.reshape(modes.shape)


learned_sum.defvjp(_forward, _backward)


def _flat(modes):
    return modes.reshape(len(modes), -1)
