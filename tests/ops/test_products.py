import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fml_jax.ops.products import Dense, Factored, LowRankGradient, product, product_plain


def drawn(*shape):
    return jax.random.normal(jax.random.key(len(shape)), shape)


def gradients(form, rows, matrix):
    """Of an energy of the product, with respect to both factors."""
    return jax.grad(lambda rows, matrix: jnp.sum(jnp.sin(form(rows, matrix))), (0, 1))(rows, matrix)


@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_values_and_both_gradients_are_the_plain_products(batch):
    rows, matrix = drawn(*batch, 4), drawn(4, 7)
    np.testing.assert_allclose(product(rows, matrix), product_plain(rows, matrix), rtol=1e-5)
    found, expected = (gradients(form, rows, matrix) for form in (product, product_plain))
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


def test_under_vmap_gradients_are_those_of_each_row():
    rows, matrix = drawn(5, 4), drawn(4, 7)
    found, expected = (
        jax.vmap(jax.grad(lambda row, form=form: jnp.sum(form(row, matrix) ** 3)))(rows)
        for form in (product, product_plain)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("batched", [False, True])
def test_the_rows_gradient_is_compiled_with_the_matrix_first(batched):
    """The compiler must not turn the product around."""
    rows, matrix = drawn(5, 40), drawn(40, 70)

    def energy(rows):
        return jnp.sum(product(rows, matrix) ** 2)

    gradient = jax.vmap(jax.grad(energy)) if batched else jax.grad(energy)
    text = jax.jit(gradient).lower(rows).compile().as_text()
    assert "f32[40,5]" in text


@pytest.mark.parametrize("shape", [(), (3,), (3, 2)])
def test_a_matrix_may_have_rows_of_any_shape(shape):
    rows, matrix = drawn(5, 4), drawn(4, *shape)
    np.testing.assert_allclose(product(rows, matrix), product_plain(rows, matrix), rtol=1e-5, atol=1e-6)


def test_a_dense_layer_has_the_values_and_gradients_of_flaxs():
    x = drawn(3, 2, 6)
    plain, mine = nn.Dense(4), Dense(4)
    params = plain.init(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, params, mine.init(jax.random.key(0), x))

    def gradient(layer):
        return jax.grad(lambda params, x: jnp.sum(layer.apply(params, x) ** 3), (0, 1))(params, x)

    for found, expected in zip(jax.tree.leaves(gradient(mine)), jax.tree.leaves(gradient(plain)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", [(5,), (2, 3)])
def test_a_factored_matrix_has_the_same_gradients(batch):
    rows, matrix = drawn(*batch, 4), drawn(4, 7)
    of_rows, of_matrix = gradients(product, rows, matrix)
    factored_rows, factored = gradients(product, rows, Factored.of(matrix, int(np.prod(batch))))
    np.testing.assert_allclose(factored_rows, of_rows, rtol=1e-5, atol=1e-6)
    for array in (factored.gradient.array(), factored.gradient.array_plain()):
        np.testing.assert_allclose(array, of_matrix, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(factored.gradient.squared_norm(), jnp.sum(of_matrix**2), rtol=1e-4)


def test_a_dense_layer_takes_a_factored_kernel():
    layer, x = Dense(4), drawn(3, 6)
    params = layer.init(jax.random.key(0), x)["params"]

    def energy(params):
        return jnp.sum(layer.apply({"params": params}, x) ** 3)

    found = jax.grad(energy)({**params, "kernel": Factored.of(params["kernel"], 3)})
    expected = jax.grad(energy)(params)
    np.testing.assert_allclose(found["kernel"].gradient.array(), expected["kernel"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["bias"], expected["bias"], rtol=1e-5)


def test_elementwise_operations_on_a_low_rank_gradient_never_store_it():
    factors, matrix = LowRankGradient(drawn(5, 400), drawn(5, 7000)), jnp.zeros((400, 7000))
    compiled = (
        jax.jit(lambda matrix, factors: matrix + factors.array() ** 2, donate_argnums=0)
        .lower(matrix, factors)
        .compile()
    )
    assert compiled.memory_analysis().temp_size_in_bytes < matrix.nbytes / 10
