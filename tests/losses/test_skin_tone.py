"""The losses of predicted skin tones."""

import jax
import jax.numpy as jnp
import numpy as np

from fml_jax.losses import exposed, known_tone_energy, tone_agreement_energies

TONES = jnp.array([[0.5, 0.4, 0.3], [0.5, 0.4, 0.3], [0.2, 0.2, 0.1], [0.8, 0.6, 0.5]])


def test_a_known_tone_is_missed_in_units_of_the_spread_of_tones():
    np.testing.assert_allclose(known_tone_energy(TONES[0] + 0.3, TONES[0]), 4.0, rtol=1e-5)


def test_photos_of_a_person_agree_and_a_single_photo_has_no_energy():
    energies, counted = tone_agreement_energies(TONES, jnp.array([7, 7, 8, 9]), jnp.ones(4))
    np.testing.assert_array_equal(counted, [1, 1, 0, 0])
    np.testing.assert_allclose(energies, 0, atol=1e-6)


def test_photos_that_disagree_are_pulled_together():
    person, applies = jnp.array([7, 8, 7, 9]), jnp.ones(4)
    gradient = jax.grad(lambda tones: tone_agreement_energies(tones, person, applies)[0].sum())(TONES)
    assert (gradient[0] > 0).all() and (gradient[2] < 0).all()
    np.testing.assert_array_equal(gradient[jnp.array([1, 3])], 0)


def test_rows_without_a_face_do_not_count():
    energies, counted = tone_agreement_energies(TONES, jnp.array([7, 7, 7, 9]), jnp.array([1.0, 1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(counted, [1, 1, 0, 0])
    np.testing.assert_allclose(energies, 0, atol=1e-6)


def test_an_exposure_is_one_factor_for_a_face_and_another_for_the_next():
    colours = jnp.full((6, 5, 3), 0.2)
    taken = np.asarray(exposed(colours, jax.random.key(0)))
    factors = taken[:, 0, 0] / 0.2
    np.testing.assert_allclose(taken, colours * factors[:, None, None], rtol=1e-5)
    assert np.ptp(np.log(factors)) > 0.3


def test_what_is_brighter_than_white_is_clipped():
    assert float(exposed(jnp.full((50, 2, 3), 0.9), jax.random.key(1)).max()) == 1.0
