import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.ops.modes import plain_sum, weighted_sum


@pytest.fixture
def modes():
    return jax.random.normal(jax.random.key(0), (4, 7, 3))


def plain(weights, modes):
    return jnp.einsum("...k,knc->...nc", weights, modes)


@pytest.mark.parametrize("own", [weighted_sum, plain_sum])
@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_values_and_both_gradients_are_the_plain_sums(modes, batch, own):
    weights = jax.random.normal(jax.random.key(1), (*batch, 4))
    energy = lambda form: lambda weights, modes: jnp.sum(jnp.sin(form(weights, modes)))
    np.testing.assert_allclose(own(weights, modes), plain(weights, modes), rtol=1e-5, atol=1e-6)
    found, expected = (jax.grad(energy(form), (0, 1))(weights, modes) for form in (own, plain))
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


def test_the_plain_sum_can_be_differentiated_forward(modes):
    """Refinement's Gauss–Newton steps do."""
    jacobian = jax.jacfwd(lambda weights: plain_sum(weights, modes))(jnp.ones(4))
    np.testing.assert_allclose(jacobian, jnp.moveaxis(modes, 0, -1), rtol=1e-6)


def test_under_vmap_gradients_are_those_of_each_row(modes):
    weights = jax.random.normal(jax.random.key(1), (5, 4))
    gradient = jax.grad(lambda weights, form: jnp.sum(form(weights, modes) ** 3))
    rows = jax.vmap(lambda row: gradient(row, weighted_sum))(weights)
    np.testing.assert_allclose(rows, gradient(weights, plain), rtol=1e-5, atol=1e-5)
