"""The detector's confidence raises the scores of sure boxes and leaves doubtful ones as they are."""

import numpy as np

from fml_jax.reconstruction.scores import MOST_ODDS, of_two_looks, with_detector


def test_odds_are_multiplied_by_what_the_detector_is_sure_of():
    scores = np.array([0.2, 0.2, 0.2, 0.0, 1.0], np.float32)
    found = with_detector(scores, np.array([0.3, 0.75, 0.9, 0.9, 0.9]))
    odds = MOST_ODDS * 0.25
    np.testing.assert_allclose(found, [0.2, 0.2, odds / (1 + odds), 0, 1], rtol=1e-5)
    assert found.dtype == np.float32
    between = with_detector(scores[:1], np.array([0.8]))
    assert found[0] < between[0] < found[2]


def test_the_higher_score_of_two_looks_counts_where_the_detector_is_sure():
    first, second = np.array([0.9, 0.9, 0.1]), np.array([0.1, 0.1, 0.8])
    np.testing.assert_array_equal(of_two_looks(first, second, np.array([0.9, 0.5, 0.9])), [0.9, 0.1, 0.8])
