"""Adadelta (Zeiler 2012) as one pass an array over the parameters."""

import jax
import jax.numpy as jnp
import optax

from fml_jax.ops.products import LowRankGradient


def adadelta(learning_rate: optax.ScalarOrSchedule, rho: float, eps: float) -> optax.GradientTransformation:
    """`optax.adadelta`: the same updates from the same statistics, in less time and memory.

    The step reads and writes every parameter and its two statistics; at the paper's size that is
    most of its memory traffic. In the usual form, the values that both the update and the statistic of updates
    need are computed once and stored, which costs an array as large as the parameters. Here each of
    the two recomputes them from arrays that are in memory in any case. Likewise, a `LowRankGradient`
    is multiplied out wherever it is read, and never stored.
    """
    return optax.chain(_scale_by_adadelta(rho, eps), optax.scale_by_learning_rate(learning_rate))


def _scale_by_adadelta(rho, eps):
    def init(params):
        return optax.ScaleByAdaDeltaState(*(optax.tree.zeros_like(params) for _ in range(2)))

    def update_one(e_g, e_x, g):
        # The barrier makes the compiler multiply the factors out again instead of storing the product.
        if isinstance(g, LowRankGradient):
            e_g, g = jax.lax.optimization_barrier((e_g, g))
        return _array(g) * jnp.sqrt((e_x + eps) / (e_g + eps))

    def update(gradients, state, params=None):
        del params
        e_g = jax.tree.map(lambda mean, g: rho * mean + (1 - rho) * _array(g) ** 2, state.e_g, gradients)
        updates = jax.tree.map(update_one, e_g, state.e_x, gradients)
        # The barrier keeps the compiler from sharing subexpressions between the updates and their mean.
        again = jax.lax.optimization_barrier((e_g, state.e_x, gradients))
        e_x = jax.tree.map(
            lambda e_g, e_x, g: rho * e_x + (1 - rho) * _array(g) ** 2 * ((e_x + eps) / (e_g + eps)), *again
        )
        return updates, optax.ScaleByAdaDeltaState(e_g=e_g, e_x=e_x)

    return optax.GradientTransformation(init, update)


def _array(gradient):
    return gradient.array() if isinstance(gradient, LowRankGradient) else gradient
