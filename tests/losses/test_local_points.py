"""The losses of the local stages."""

import jax
import jax.numpy as jnp
import numpy as np

from fml_jax.codes import neutral_code
from fml_jax.face_model import load_face_model
from fml_jax.face_model.files import load_arkit_codes
from fml_jax.image_formation.local_points import LOWER, POINTS, UPPER, PointBasis, project_points
from fml_jax.losses import opening_energy, point_distance_energy, point_likelihood_energy


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


def test_openings_are_those_of_lids_and_of_lips():
    basis, shapes = PointBasis.of(load_face_model(detail="face")), load_arkit_codes()

    def openings(*names):
        expression = sum((jnp.asarray(shapes[name]) for name in names), jnp.zeros(basis.sizes.expression))
        pixels = project_points(basis, neutral_code(basis.sizes).replace(expression=expression)).pixels
        return np.linalg.norm(pixels[UPPER] - pixels[LOWER], axis=1)

    neutral, blink, jaw = openings(), openings("eyeBlinkLeft", "eyeBlinkRight"), openings("jawOpen")
    lids, lips = slice(0, 10), slice(10, 13)
    assert (blink[lids] < 0.3 * neutral[lids]).all() and (jaw[lips] > 10).all()
    np.testing.assert_allclose(blink[lips], neutral[lips], atol=0.5)
    np.testing.assert_allclose(jaw[lids], neutral[lids], atol=0.5)


def test_the_opening_is_a_mean_over_pairs_and_does_not_depend_on_the_place():
    true = jnp.asarray(np.random.default_rng(0).normal(0, 50, (POINTS, 2)))
    assert opening_energy(true + 7.0, true, jnp.ones(POINTS)) < 1e-3
    one_lid = true.at[UPPER[0], 1].add(5.0)
    np.testing.assert_allclose(opening_energy(one_lid, true, jnp.ones(POINTS)), 5 / len(UPPER), rtol=1e-3)
    unknown = jnp.ones(POINTS).at[LOWER[0]].set(0.0)
    assert opening_energy(one_lid, true, unknown) < 1e-3
