"""Products of many vectors with one small matrix."""

import jax
from jaxtyping import Float

from fml_jax.ops.arrays import Array


@jax.custom_jvp
def transform(vectors: Float[Array, "N 3"], matrix: Float[Array, "3 3"]) -> Float[Array, "N 3"]:
    """M v of each vector, written out by the matrix's columns.

    XLA's CPU backend takes four times as long for a product with so small a matrix.
    """
    return sum(vectors[:, k, None] * matrix[:, k] for k in range(3))


@transform.defjvp
def _transform_jvp(primals, tangents):
    # Ordinary products here: the matrix's gradient is a sum over all vectors, which takes longer written out.
    (vectors, matrix), (vector_tangents, matrix_tangent) = primals, tangents
    return transform(vectors, matrix), vector_tangents @ matrix.T + vectors @ matrix_tangent.T


def transform_plain(vectors: Float[Array, "N 3"], matrix: Float[Array, "3 3"]) -> Float[Array, "N 3"]:
    """M v of each vector, as one product of matrices."""
    return vectors @ matrix.T
