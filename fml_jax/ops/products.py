"""Products of a few rows with a large matrix, and gradients in the form that takes CPUs the least time.

JAX computes the rows' gradient as cotangents @ matrix.T, with the rows first. XLA's CPU backend takes up to three
times as long for that as for the same numbers with the matrix first. The matrix's gradient is as large as the matrix,
although it is the sum of only a few outer products. A `Factored` matrix receives their factors (`LowRankGradient`).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jaxtyping import Float

from fml_jax.ops.arrays import Array
from fml_jax.ops.parameters import GivenParameters


class LowRankGradient(struct.PyTreeNode):
    """The gradient of a matrix [K, M] as the factors of Σ_b rows_b ⊗ cotangents_b.

    B is the number of rows that the matrix was multiplied with; the gradient's rank is at most B.
    """

    rows: jax.Array  # [B, K]
    cotangents: jax.Array  # [B, M], of the product's output

    def array(self) -> Float[Array, "K M"]:
        """The gradient as an array.

        It is a sum over the rows and not a product of matrices, because the compiler fuses the sum with the
        elementwise operations that use it, so that the array never exists in memory.
        """
        return sum(self.rows[b, :, None] * self.cotangents[b] for b in range(len(self.rows)))

    def array_plain(self) -> Float[Array, "K M"]:
        """The gradient as an array, computed as a product of matrices."""
        return self.rows.T @ self.cotangents

    def squared_norm(self) -> Float[Array, ""]:
        """The sum of the array's squares: Σ_bc ⟨rows_b, rows_c⟩ ⟨cotangents_b, cotangents_c⟩."""
        squared = jnp.sum((self.rows @ self.rows.T) * (self.cotangents @ self.cotangents.T))
        return jnp.maximum(squared, 0.0)  # where rows cancel, rounding may leave a small negative number


class Factored(struct.PyTreeNode):
    """A matrix whose gradient is computed as a `LowRankGradient`, stored in the gradient's field `gradient`.

    It may be used in one product only: of several uses JAX would add the factors, not the outer products. Flax accepts
    it as a parameter because `matrix` is its first leaf, the one whose shape Flax checks.
    """

    matrix: jax.Array  # [K, M]
    gradient: LowRankGradient  # a placeholder: only its shapes matter

    @classmethod
    def of(cls, matrix: Float[Array, "K M"], rows: int) -> "Factored":
        """A matrix that will be multiplied with `rows` rows."""
        return cls(matrix, LowRankGradient(*(jnp.zeros((rows, side)) for side in matrix.shape)))


def product(rows: Float[Array, "*batch K"], matrix: Float[Array, "K *M"] | Factored) -> Array:
    """Σ_k rows_k matrix_k, [*batch, *M]; it supports reverse-mode differentiation only."""
    if isinstance(matrix, Factored):
        return _factored_product(rows, matrix.matrix, matrix.gradient)
    return _product(rows, matrix)


def product_plain(rows: Float[Array, "*batch K"], matrix: Float[Array, "K *M"]) -> Array:
    """Σ_k rows_k matrix_k, [*batch, *M], without custom derivatives."""
    return jnp.tensordot(rows, matrix, 1)


@jax.custom_vjp
def _product(rows, matrix):
    return (rows @ _flat(matrix)).reshape(*rows.shape[:-1], *matrix.shape[1:])


def _forward(rows, matrix):
    return _product(rows, matrix), (rows, matrix)


def _backward(saved, cotangents):
    rows, matrix = saved
    flat = cotangents.reshape(-1, _flat(matrix).shape[1])
    of_matrix = (_as_rows(rows).T @ flat).reshape(matrix.shape)
    return _rows_gradient(matrix, flat).reshape(rows.shape), of_matrix


_product.defvjp(_forward, _backward)


@jax.custom_vjp
def _factored_product(rows, matrix, gradient):
    return _product(rows, matrix)


def _factored_forward(rows, matrix, gradient):
    return _product(rows, matrix), (rows, matrix)


def _factored_backward(saved, cotangents):
    rows, matrix = saved
    cotangents = _as_rows(cotangents)
    of_rows = _rows_gradient(matrix, cotangents).reshape(rows.shape)
    return of_rows, None, LowRankGradient(_as_rows(rows), cotangents)


_factored_product.defvjp(_factored_forward, _factored_backward)


def _rows_gradient(matrix: Float[Array, "K *M"], cotangents: Float[Array, "B P"]) -> Float[Array, "B K"]:
    """The rows' gradient of their product with the matrix."""
    # Without the barrier the compiler merges the transposition into the product, which puts the rows first again.
    return jax.lax.optimization_barrier(_flat(matrix) @ cotangents.T).T


def _flat(matrix):
    # For a product of two matrices: XLA's CPU backend takes ten times as long for a contraction over two axes.
    return matrix.reshape(len(matrix), -1)


def _as_rows(rows):
    return rows.reshape(-1, rows.shape[-1])


class Dense(GivenParameters, nn.Module):
    """`nn.Dense` computed with `product`; parameters and values are the same."""

    features: int
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Float[Array, "*batch K"]) -> Float[Array, "*batch features"]:
        """x W + b."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        return product(x, kernel) + self.param("bias", self.bias_init, (self.features,))
