import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.ops.modes import weighted_sum, weighted_sum_plain


@pytest.fixture
def modes():
    return jax.random.normal(jax.random.key(0), (4, 7, 3))


def by_einsum(weights, modes):
    return jnp.einsum("...k,knc->...nc", weights, modes)


@pytest.mark.parametrize("form", [weighted_sum, weighted_sum_plain])
@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_values_and_both_gradients_are_those_of_einsum(modes, batch, form):
    weights = jax.random.normal(jax.random.key(1), (*batch, 4))
    np.testing.assert_allclose(form(weights, modes), by_einsum(weights, modes), rtol=1e-5, atol=1e-6)

    def gradients(form):
        return jax.grad(lambda weights, modes: jnp.sum(jnp.sin(form(weights, modes))), (0, 1))(weights, modes)

    for found, expected in zip(gradients(form), gradients(by_einsum), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_plain_sum_can_be_differentiated_forward(modes):
    """Gauss–Newton steps on landmarks need this."""
    jacobian = jax.jacfwd(lambda weights: weighted_sum_plain(weights, modes))(jnp.ones(4))
    np.testing.assert_allclose(jacobian, jnp.moveaxis(modes, 0, -1), rtol=1e-6)


def test_under_vmap_gradients_are_those_of_each_row(modes):
    weights = jax.random.normal(jax.random.key(1), (5, 4))
    gradient = jax.grad(lambda weights, form: jnp.sum(form(weights, modes) ** 3))
    rows = jax.vmap(lambda row: gradient(row, weighted_sum))(weights)
    np.testing.assert_allclose(rows, gradient(weights, by_einsum), rtol=1e-5, atol=1e-5)
