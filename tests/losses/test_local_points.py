"""The losses of the local stages."""

import jax
import jax.numpy as jnp
import numpy as np

from fml_jax.losses import point_distance_energy, point_likelihood_energy


def whitening(*precisions):
    return jnp.stack([jnp.eye(2) * precision for precision in precisions])


def test_the_likelihood_is_highest_where_the_precision_fits_the_error():
    true, measured = jnp.array([[3.0, 4.0]]), jnp.zeros((1, 2))  # off by 5 pixels
    energies = [
        float(point_likelihood_energy(measured, whitening(precision), true, confidence=jnp.ones(1)))
        for precision in (0.2, 0.4, 0.8)
    ]
    assert energies[1] == min(energies)  # of this density, 2/5 a pixel


def test_precision_counts_along_its_own_direction():
    white = jnp.array([[[2.0, 0.0], [0.0, 0.1]]])
    along_x, along_y = (
        point_likelihood_energy(jnp.zeros((1, 2)), white, jnp.array([gap]), confidence=jnp.ones(1))
        for gap in ([3.0, 0.0], [0.0, 3.0])
    )
    assert along_x > along_y + 5


def test_points_without_confidence_have_no_influence():
    true = jnp.array([[1.0, 2.0], [50.0, 60.0]])
    confidence, white = jnp.array([1.0, 0.0]), whitening(0.5, 0.5)
    for energy in (
        lambda points: point_likelihood_energy(points, white, true, confidence=confidence),
        lambda points: point_distance_energy(points, true, confidence),
    ):
        gradient = jax.grad(energy)(jnp.zeros((2, 2)))
        assert (gradient[0] != 0).all()
        np.testing.assert_array_equal(gradient[1], 0)


def test_the_distance_is_a_mean_over_points_in_pixels():
    found = point_distance_energy(jnp.zeros((2, 2)), jnp.array([[3.0, 4.0], [0.0, 1.0]]), jnp.ones(2))
    np.testing.assert_allclose(found, 3.0, rtol=1e-5)
