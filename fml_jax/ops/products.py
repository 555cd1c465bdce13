"""Products of rows with a large matrix, differentiated as CPUs take least time for it.

JAX writes the rows' gradient as asked @ matrix.T, the rows first, for which XLA's CPU backend takes up to three times
as long as for the same numbers with the matrix first. And the matrix's gradient is as large as the matrix, while few
rows are all that it is made of: who passes a `Factored` matrix gets those instead.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jaxtyping import Float

from fml_jax.ops.arrays import Array


@struct.dataclass
class LowRankGradient:
    """Σ_b rows_b ⊗ asked_b, the gradient of a matrix [K, M], before it is multiplied out."""

    rows: jax.Array  # [B, K]
    asked: jax.Array  # [B, M]

    def array(self) -> Float[Array, "K M"]:
        """The gradient itself.

        A sum over the rows, not a product of matrices: in this form the compiler takes it into what it is asked for,
        and the array is never in memory.
        """
        return sum(self.rows[b, :, None] * self.asked[b] for b in range(len(self.rows)))

    def squared_norm(self) -> Float[Array, ""]:
        """Σ of the array's squares: Σ_bc ⟨rows_b, rows_c⟩ ⟨asked_b, asked_c⟩."""
        squared = jnp.sum((self.rows @ self.rows.T) * (self.asked @ self.asked.T))
        return jnp.maximum(squared, 0.0)  # rows that cancel leave a rounded rest of either sign


@struct.dataclass
class Factored:
    """A matrix whose gradient is to come as `LowRankGradient`, at `gradient`.

    It may be used once: of several uses the factors would be added, not the products. Flax takes it for a parameter
    because the matrix comes first: that is the leaf whose shape it checks.
    """

    matrix: jax.Array  # [K, M]
    gradient: LowRankGradient  # anything; only its shapes count, B being the rows that the matrix will meet

    @classmethod
    def of(cls, matrix: Float[Array, "K M"], rows: int) -> "Factored":
        """A matrix that will meet so many rows."""
        return cls(matrix, LowRankGradient(*(jnp.zeros((rows, side)) for side in matrix.shape)))


def product(rows: Float[Array, "*batch K"], matrix: Float[Array, "K *M"] | Factored) -> Array:
    """Σ_k rows_k matrix_k, [*batch, *M]; differentiable backward only."""
    if isinstance(matrix, Factored):
        return _factored_product(rows, matrix.matrix, matrix.gradient)
    return _product(rows, matrix)


@jax.custom_vjp
def _product(rows, matrix):
    return (rows @ _flat(matrix)).reshape(*rows.shape[:-1], *matrix.shape[1:])


def _forward(rows, matrix):
    return _product(rows, matrix), (rows, matrix)


def _backward(saved, asked):
    rows, matrix = saved
    flat = asked.reshape(-1, _flat(matrix).shape[1])
    of_matrix = (_as_rows(rows).T @ flat).reshape(matrix.shape)
    return _rows_asked(matrix, flat).reshape(rows.shape), of_matrix


_product.defvjp(_forward, _backward)


@jax.custom_vjp
def _factored_product(rows, matrix, gradient):
    return _product(rows, matrix)


def _factored_forward(rows, matrix, gradient):
    return _product(rows, matrix), (rows, matrix)


def _factored_backward(saved, asked):
    rows, matrix = saved
    asked = _as_rows(asked)
    of_rows = _rows_asked(matrix, asked).reshape(rows.shape)
    return of_rows, None, LowRankGradient(_as_rows(rows), asked)


_factored_product.defvjp(_factored_forward, _factored_backward)


def _rows_asked(matrix: Float[Array, "K *M"], asked: Float[Array, "B P"]) -> Float[Array, "B K"]:
    """The rows' gradient of their product with the matrix."""
    # Without the barrier the compiler takes the transposition into the product, and the rows come first again.
    return jax.lax.optimization_barrier(_flat(matrix) @ asked.T).T


def _flat(matrix):
    # As a product of two matrices: XLA's CPU backend takes ten times as long for a contraction over two axes.
    return matrix.reshape(len(matrix), -1)


def _as_rows(rows):
    return rows.reshape(-1, rows.shape[-1])


class Dense(nn.Module):
    """`nn.Dense` by `product`, with the same parameters."""

    features: int
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Float[Array, "*batch K"]) -> Float[Array, "*batch features"]:
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        return product(x, kernel) + self.param("bias", self.bias_init, (self.features,))
