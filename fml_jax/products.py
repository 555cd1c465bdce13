"""Products of rows with a large matrix, whose rows' gradients take CPUs less time.

JAX writes that gradient as asked @ matrix.T, the rows first, for which XLA's CPU backend takes up to three times as
long as for the same numbers with the matrix first.
"""

import jax
from jaxtyping import Float

from fml_jax.arrays import Array


@jax.custom_vjp
def product(rows: Float[Array, "*batch K"], matrix: Float[Array, "K M"]) -> Float[Array, "*batch M"]:
    """rows @ matrix; differentiable backward only."""
    return rows @ matrix


def _forward(rows, matrix):
    return product(rows, matrix), (rows, matrix)


def _backward(saved, asked):
    rows, matrix = saved
    flat = asked.reshape(-1, matrix.shape[1])
    return _rows_asked(matrix, flat).reshape(rows.shape), rows.reshape(-1, len(matrix)).T @ flat


product.defvjp(_forward, _backward)


def _rows_asked(matrix: Float[Array, "K M"], asked: Float[Array, "B M"]) -> Float[Array, "B K"]:
    """asked @ matrix.T: the rows' gradient of their product with the matrix."""
    # Without the barrier the compiler takes the transposition into the product, and the rows come first again.
    return jax.lax.optimization_barrier(matrix @ asked.T).T


def dense(rows: Float[Array, "*batch K"], kernel: Float[Array, "K M"], dimension_numbers, **_) -> Float[Array, "*batch M"]:
    """`product` for `nn.Dense(dot_general=…)`.

    Raises:
      ValueError: another contraction than a dense layer's is asked for.
    """
    if dimension_numbers != (((rows.ndim - 1,), (0,)), ((), ())):
        raise ValueError(f"dense knows the product of a dense layer, not {dimension_numbers}")
    return product(rows, kernel)
