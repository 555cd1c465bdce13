"""Renders with the shapes of adults: whose they are, how many, and what stays as it was."""

import dataclasses

import numpy as np
import pytest

from fml_jax.face_model.base import with_reflectance_modes
from fml_jax.synthetic.adults import adult_identities
from fml_jax.synthetic.random_codes import sample_face
from fml_jax.synthetic.rendering import PLAIN, render_synthetic


def test_adults_vary_less_and_about_a_mean_of_their_own(model, units):
    adults = adult_identities(model.name)
    drawn = [sample_face(model, units, np.random.default_rng([6, k]), identities=adults) for k in range(80)]
    identities = np.stack([face.code.identity for face in drawn])
    assert np.abs((identities.mean(axis=0) - adults.mean) / adults.spread).max() < 4 / np.sqrt(80)
    np.testing.assert_allclose(identities.std(axis=0), adults.spread, rtol=0.35)
    assert np.linalg.norm(adults.mean) > 2 and adults.spread[:6].mean() < 0.8


@pytest.mark.parametrize("share, least, most", [(0.0, 0, 0), (0.5, 3, 13), (1.0, 16, 16)])
def test_the_style_has_the_share_of_adults(model, units, share, least, most, monkeypatch):
    asked = []
    monkeypatch.setattr("fml_jax.synthetic.rendering.adult_identities", lambda name: asked.append(name))
    style = dataclasses.replace(PLAIN, adults=share)
    for number in range(16):
        render_synthetic(model, units, np.random.default_rng([7, number]), style=style)
    assert least <= len(asked) <= most


@pytest.mark.parametrize("adults", [False, True])
def test_a_given_person_stays_and_takes_no_random_numbers(model, units, adults):
    like = sample_face(model, units, np.random.default_rng(8)).code
    identities = adult_identities(model.name) if adults else None
    face = sample_face(model, units, np.random.default_rng(9), identities=identities, like=like)
    np.testing.assert_array_equal(face.code.identity, like.identity)
    np.testing.assert_allclose(face.code.expression, units.sample(np.random.default_rng(9)), rtol=1e-5)


def test_other_face_models_have_no_known_adults(model):
    assert adult_identities("flame") is None
    fewer = with_reflectance_modes(model, 40)  # of the open model: its identities are the same
    np.testing.assert_array_equal(adult_identities(fewer.name).mean, adult_identities(model.name).mean)
