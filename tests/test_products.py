import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fml_jax.products import dense, product


def drawn(*shape):
    return jax.random.normal(jax.random.key(len(shape)), shape)


@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_values_and_both_gradients_are_the_plain_products(batch):
    rows, matrix = drawn(*batch, 4), drawn(4, 7)
    np.testing.assert_allclose(product(rows, matrix), rows @ matrix, rtol=1e-6)
    energy = lambda form: lambda rows, matrix: jnp.sum(jnp.sin(form(rows, matrix)))
    found, expected = (jax.grad(energy(form), (0, 1))(rows, matrix) for form in (product, jnp.matmul))
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


def test_under_vmap_gradients_are_those_of_each_row():
    rows, matrix = drawn(5, 4), drawn(4, 7)
    gradient = lambda form: jax.grad(lambda row: jnp.sum(form(row, matrix) ** 3))
    np.testing.assert_allclose(jax.vmap(gradient(product))(rows), jax.vmap(gradient(jnp.matmul))(rows), rtol=1e-4)


@pytest.mark.parametrize("batched", [False, True])
def test_the_rows_gradient_is_compiled_with_the_matrix_first(batched):
    """The point of it: the compiler must not turn the product around."""
    rows, matrix = drawn(5, 40), drawn(40, 70)
    energy = lambda rows: jnp.sum(product(rows, matrix) ** 2)
    gradient = jax.vmap(jax.grad(energy)) if batched else jax.grad(energy)
    text = jax.jit(gradient).lower(rows).compile().as_text()
    assert "f32[40,5]" in text


def test_a_dense_layer_is_unchanged_but_for_its_gradients_form():
    x = drawn(3, 2, 6)
    plain, mine = nn.Dense(4), nn.Dense(4, dot_general=dense)
    params = plain.init(jax.random.key(0), x)
    gradient = lambda layer: jax.grad(lambda params, x: jnp.sum(layer.apply(params, x) ** 3), (0, 1))(params, x)
    for found, expected in zip(jax.tree.leaves(gradient(mine)), jax.tree.leaves(gradient(plain)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_other_contractions_are_refused():
    with pytest.raises(ValueError, match="dense layer"):
        dense(drawn(3, 4), drawn(7, 4), (((1,), (1,)), ((), ())))
