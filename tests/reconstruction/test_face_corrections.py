"""Corrections of a real face's reflectance: what they explain, and what they may not touch."""

from dataclasses import replace

import numpy as np
import pytest

from fml_jax.evaluation.photos import _held_out_colour_error, colour_error
from fml_jax.reconstruction import refinement
from fml_jax.reconstruction.levels import with_code
from fml_jax.reconstruction.refinement import reflectance_corrections, with_corrections


def test_corrections_explain_the_photo_and_leave_the_eyes(face):
    corrected = with_corrections(face)
    assert colour_error(corrected) < 0.75 * colour_error(face)
    eyes = np.asarray(face.model.regions["eyes"], bool)
    outside = ~np.asarray(face.model.regions["face"], bool)
    assert np.all(corrected.reflectance_corrections[eyes | outside] == 0)
    assert np.abs(corrected.reflectance_corrections).max() > 0.02
    np.testing.assert_allclose(corrected.reflectance, face.reflectance + corrected.reflectance_corrections, atol=1e-6)
    np.testing.assert_array_equal(corrected.vertices, face.vertices)


def test_corrections_do_not_pile_up_and_come_off(face):
    once = with_corrections(face)
    twice = with_corrections(once)
    np.testing.assert_allclose(twice.reflectance, once.reflectance, atol=1e-5)
    bare = with_code(once, once.code)
    np.testing.assert_allclose(bare.reflectance, face.level("base").reflectance, atol=1e-5)
    assert not bare.reflectance_corrections.any()


def test_vertices_that_are_held_out_are_not_looked_at(face, monkeypatch):
    used = np.random.default_rng(0).random(len(face.vertices)) < 0.5
    found, own = reflectance_corrections(face, used), refinement.observed_points

    def repainted(face):
        points, seen = own(face)
        return points, np.where(used[:, None], seen, np.float32(7.0))

    monkeypatch.setattr(refinement, "observed_points", repainted)
    np.testing.assert_array_equal(reflectance_corrections(face, used), found)
    assert np.abs(reflectance_corrections(face) - found).max() > 0.02
    np.testing.assert_array_equal(reflectance_corrections(face, np.zeros(len(used), bool)), 0)


def test_held_out_vertices_lie_between_both_levels(face):
    errors = colour_error(with_corrections(face)), _held_out_colour_error(face), colour_error(face)
    assert errors[0] < 0.9 * errors[1] and errors[1] < 0.95 * errors[2]


def test_what_lies_beyond_the_photo_is_not_looked_at(face):
    middle = int(face.landmarks68[:, 0].mean())
    cut = replace(face, photo=face.photo[:, :middle])
    beyond = face.projected[:, 0] > middle + 20
    assert np.abs(reflectance_corrections(face)[beyond]).max() > 0.02
    assert np.abs(reflectance_corrections(cut)[beyond]).max() < 0.01


def test_models_without_eyes_or_face(face):
    regions = face.model.regions
    eyeless = replace(face, model=face.model.replace(regions={k: v for k, v in regions.items() if k != "eyes"}))
    assert np.any(reflectance_corrections(eyeless)[np.asarray(regions["eyes"], bool)])
    with pytest.raises(ValueError, match="no region 'face'"):
        reflectance_corrections(replace(face, model=face.model.replace(regions={})))
