"""Telling people apart, on cases that are known."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from fml_jax.evaluation.identity import Pairs, distances_between, neutral_levels, pairs_of


def test_the_roc_area_agrees_with_scipy_and_with_counting():
    rng = np.random.default_rng(0)
    pairs = Pairs(rng.integers(0, 8, 30) / 2.0, rng.integers(2, 11, 50) / 2.0)  # with ties
    nearer = (pairs.same[:, None] < pairs.different).mean() + 0.5 * (pairs.same[:, None] == pairs.different).mean()
    assert pairs.roc_area == pytest.approx(nearer, abs=1e-9)
    assert pairs.roc_area == pytest.approx(1 - mannwhitneyu(*pairs).statistic / (30 * 50), abs=1e-9)


def test_perfect_and_useless_faces():
    apart, nothing = Pairs(np.array([1.0, 2]), np.array([3.0, 4])), Pairs(np.array([1.0, 3]), np.array([1.0, 3]))
    assert (apart.roc_area, nothing.roc_area) == (1.0, 0.5)
    assert apart.within_to_between == pytest.approx(1.5 / 3.5)


def test_pairs_are_split_by_person():
    distances = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]], float)
    pairs = pairs_of(distances, ["Ada", "Ada", "Bob"])
    assert pairs.same.tolist() == [1] and pairs.different.tolist() == [2, 3]


def test_place_and_size_do_not_tell_people_apart():
    rng = np.random.default_rng(1)
    face, other = rng.normal(0, 50, (2, 90, 3))
    found = distances_between(np.stack([face, 1.1 * face + [3, 0, -9], other]))
    assert found[0, 1] < 1e-6 and found[0, 2] > 10
    np.testing.assert_allclose(found, found.T)


def test_a_neutral_face_has_no_expression_and_keeps_the_corrections(face):
    smiling = face.with_expression({"jawOpen": 1.0})
    before, after = neutral_levels(face), neutral_levels(smiling)
    assert np.abs(smiling.vertices - face.vertices).max() > 5
    for level in ("base level", "final level"):
        np.testing.assert_allclose(before[level], after[level], atol=0.05)
    assert np.abs(before["final level"] - before["base level"]).max() > 0.1
