"""Bilinear samples against the slow reference, SciPy's function in JAX, and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.image_formation import reference
from fml_jax.ops.sampling import entries, sample_bilinear, sample_bilinear_plain


@pytest.fixture
def image():
    return np.random.default_rng(1).random((7, 5, 3), np.float32)


def test_values_are_those_of_the_reference_and_of_the_plain_form(image):
    rng = np.random.default_rng(2)
    pixels = np.concatenate([rng.uniform(-2, 8, (40, 2)), [[0, 0], [4, 6], [4, 0]]]).astype(np.float32)
    samples = sample_bilinear(image, pixels)
    np.testing.assert_allclose(samples, [reference.sample_bilinear(image, pixel) for pixel in pixels], atol=1e-5)
    np.testing.assert_allclose(samples, sample_bilinear_plain(image, pixels), atol=1e-5)


def test_derivatives_are_those_of_the_plain_form(image):
    rng = np.random.default_rng(3)
    pixels = rng.uniform(-2, 8, (60, 2)).astype(np.float32)
    pixels = pixels[np.abs(pixels - np.round(pixels)).min(1) > 0.01]  # away from the kinks
    weights = rng.normal(size=(len(pixels), 3))

    def gradient(form):
        return jax.grad(lambda pixels: jnp.sum(weights * form(image, pixels)))(pixels)

    np.testing.assert_allclose(gradient(sample_bilinear), gradient(sample_bilinear_plain), atol=1e-4)


def test_derivatives_are_finite_differences_of_the_reference(image):
    inside = np.random.default_rng(4).uniform(0.1, 3.9, (30, 2))
    inside = inside[np.abs(inside - np.round(inside)).min(1) > 0.01]
    gradient = jax.grad(lambda pixels: jnp.sum(sample_bilinear(image, pixels)))(jnp.asarray(inside, jnp.float32))
    for pixel, exact in zip(inside, gradient, strict=True):
        for axis in range(2):
            shift = 1e-5 * np.eye(2)[axis]
            numeric = reference.sample_bilinear(image, pixel + shift) - reference.sample_bilinear(image, pixel - shift)
            assert float(exact[axis]) == pytest.approx(numeric.sum() / 2e-5, abs=1e-3)


def test_the_gradient_outside_the_image_is_zero(image):
    outside = jnp.asarray([[-3.0, -2.0], [9.0, 8.0]])
    np.testing.assert_array_equal(jax.grad(lambda pixels: jnp.sum(sample_bilinear(image, pixels)))(outside), 0)


def test_entries_are_those_that_indices_name():
    array = np.arange(24.0).reshape(4, 3, 2)
    rows, columns = np.array([3, 0]), np.array([2, 1])
    np.testing.assert_array_equal(entries(array, rows, columns), array[rows, columns])
    np.testing.assert_array_equal(entries(array, rows), array[rows])
