"""The distribution of adults is estimated from a network's predictions."""

import numpy as np

from third_party.open_face_model.fit_adults import estimated_distribution


def test_known_spreads_are_estimated_from_a_shrinking_noisy_network():
    rng = np.random.default_rng(0)
    modes, renders, photos = 12, 4000, 4000
    seen = np.diag(np.linspace(0.7, 0.3, modes)) + 0.03 * rng.normal(size=(modes, modes))
    mean, spread = rng.normal(0, 0.8, modes), rng.uniform(0.5, 0.9, modes)

    def predicted(identities):
        return identities @ seen.T + 0.1 + rng.normal(0, 0.3, identities.shape)

    known = rng.normal(size=(renders, modes))
    answers = predicted(mean + spread * rng.normal(size=(photos, modes)))
    found = estimated_distribution(answers, predicted(known), known)

    np.testing.assert_allclose(found.spread, spread, atol=0.15)
    np.testing.assert_allclose(found.mean, answers.mean(axis=0))
    assert np.linalg.norm(found.mean - mean) < 0.8 * np.linalg.norm(mean)  # nearer than the model's


def test_a_mode_that_the_network_does_not_see_keeps_the_models_spread():
    rng = np.random.default_rng(1)
    known = rng.normal(size=(3000, 2))
    predicted = known * [0.7, 0.0] + rng.normal(0, 0.2, known.shape)
    found = estimated_distribution(0.5 * predicted, predicted, known)
    assert found.spread[1] == 1.0 and 0.3 < found.spread[0] < 0.6
