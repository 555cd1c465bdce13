"""Damped Gauss–Newton steps (Levenberg–Marquardt) on a sum of squares."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Float

from fml_jax.ops.arrays import Array

_FIRST_DAMPING = 1e-2


def least_squares(
    residuals: Callable[[Float[Array, "n"]], Float[Array, "r"]], start: Float[Array, "n"], *, steps: int
) -> Float[Array, "n"]:
    """Values with a small sum of squared residuals; a step that would enlarge it is not taken.

    Args:
      residuals: a function that JAX differentiates forward.
      start: the initial values.
    """

    def step(state, _):
        values, damping = state
        current = residuals(values)
        jacobian = jax.jacfwd(residuals)(values)
        normal = jacobian.T @ jacobian
        update = jnp.linalg.solve(normal + damping * jnp.diag(jnp.diag(normal)), jacobian.T @ current)
        better = jnp.sum(residuals(values - update) ** 2) < jnp.sum(current**2)
        values = jnp.where(better, values - update, values)
        return (values, jnp.where(better, damping / 5, damping * 10)), None

    (values, _), _ = jax.lax.scan(step, (start, jnp.float32(_FIRST_DAMPING)), length=steps)
    return values
