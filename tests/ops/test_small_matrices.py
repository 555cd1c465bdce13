import jax
import jax.numpy as jnp
import numpy as np

from fml_jax.ops.small_matrices import transform, transform_plain


def test_values_and_derivatives_are_those_of_a_product():
    """Batches of vectors and matrices, differentiated forward and backward."""
    keys = jax.random.split(jax.random.key(0), 4)
    draw = [jax.random.normal(key, shape) for key, shape in zip(keys, [(2, 7, 3), (2, 3, 3)] * 2, strict=True)]
    primals, tangents = tuple(draw[:2]), tuple(draw[2:])

    def derivatives(form):
        batched = jax.vmap(form)
        return jax.jvp(batched, primals, tangents), jax.vjp(batched, *primals)[1](tangents[0])

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), derivatives(transform), derivatives(transform_plain)
    )


def test_vectors_are_columns():
    quarter_turn = jnp.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_array_equal(transform(jnp.array([[1.0, 0.0, 0.0]]), quarter_turn), [[0.0, 1.0, 0.0]])
