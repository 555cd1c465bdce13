import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.ops.dot_products import (
    dots,
    dots_plain,
    guarded_lengths,
    guarded_powers,
    guarded_powers_plain,
    squared_lengths,
)


def vectors(*shape):
    return jax.random.normal(jax.random.key(sum(shape)), shape)


@pytest.mark.parametrize("shape", [(3,), (7, 3), (2, 7, 3), (5, 2)])
def test_dot_products_are_the_plain_ones(shape):
    a, b = vectors(*shape), vectors(*shape) + 1
    np.testing.assert_allclose(dots(a, b), dots_plain(a, b), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(squared_lengths(a), dots_plain(a, a), rtol=1e-5)


@pytest.mark.parametrize("exponent", [0.9, 1.0, 2.0])
def test_powers_of_lengths_and_their_gradients_are_the_plain_ones(exponent):
    at = jnp.concatenate([vectors(50, 3), 1e-3 * vectors(50, 3), jnp.zeros((1, 3))])
    found, expected = (
        jax.value_and_grad(lambda v, form=form: jnp.sum(form(v, exponent)))(at)
        for form in (guarded_powers, guarded_powers_plain)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected)


@pytest.mark.parametrize("length", [0.0, 1e-30, 1e-10, 1.0, 1e10])
def test_guarded_lengths_have_finite_gradients_everywhere(length):
    v = length * jnp.array([0.6, 0.0, -0.8])
    value, gradient = jax.value_and_grad(guarded_lengths)(v)
    assert np.isfinite(gradient).all() and abs(float(value) - length) <= 1.1e-4 + 1e-6 * length
