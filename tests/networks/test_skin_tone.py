"""Skin tone from the colours of a face's parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import code_from_network
from fml_jax.face_model.base import reflectance
from fml_jax.face_model.files import load_face_model
from fml_jax.image_formation.local_points import PointBasis, project_points
from fml_jax.networks import skin_tone
from fml_jax.networks.skin_tone import COLOURS, SkinTone
from tests.compiled_programs import run_once

# One program each; without `jit` they would be some hundred.
face_colours, with_tone = jax.jit(skin_tone.face_colours), jax.jit(skin_tone.with_tone)


@pytest.fixture(scope="module")
def model():
    return load_face_model(None, "face")


@pytest.fixture(scope="module")
def basis(model):
    return PointBasis.of(model)


@pytest.fixture(scope="module")
def raw(basis):
    return 0.5 * jax.random.normal(jax.random.key(3), (2, basis.sizes.total))


@pytest.fixture(scope="module")
def landmarks(basis):
    """Of the mean face."""
    code = code_from_network(jnp.zeros(basis.sizes.total), basis.sizes)
    return np.asarray(jax.jit(project_points)(basis, code).pixels)[None, :68]


def test_the_basis_has_the_mean_over_the_skin(model, basis, raw):
    beta = code_from_network(raw, basis.sizes).reflectance[0]
    skin = np.asarray(reflectance(model, beta))[np.asarray(model.regions["skin"], bool)]
    np.testing.assert_allclose(basis.tone(beta), skin.mean(axis=0), atol=1e-5)


def test_a_code_gets_a_tone_and_keeps_how_it_looks(model, basis, raw):
    before, tone = code_from_network(raw, basis.sizes), jnp.array([[0.6, 0.45, 0.4], [0.3, 0.2, 0.15]])
    after = code_from_network(with_tone(raw, tone, basis), basis.sizes)
    np.testing.assert_allclose(basis.tone(after.reflectance), tone, atol=1e-3)
    skins = [basis.tone(code.reflectance)[:, None] * code.illumination for code in (before, after)]
    np.testing.assert_allclose(*skins, atol=1e-4)
    for name in ("identity", "expression", "rotation", "translation"):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), rtol=1e-5, atol=1e-5)


def test_brows_stay_as_much_darker_than_skin_as_they_were(model, basis, raw):
    """A tenth brighter: the brows' share of the skin's reflectance, which the crop shows."""
    code = code_from_network(raw, basis.sizes)
    tone = 1.1 * basis.tone(code.reflectance)
    after = code_from_network(with_tone(raw, tone, basis), basis.sizes)
    brows = np.asarray(model.regions["brows"], bool)

    def shares(beta):
        return np.asarray(reflectance(model, beta))[brows].mean(axis=0) / basis.tone(beta)

    for k in range(2):
        np.testing.assert_allclose(shares(after.reflectance[k]), shares(code.reflectance[k]), rtol=0.03)


def test_a_code_that_has_the_tone_stays_as_it_is(basis, raw):
    tone = basis.tone(code_from_network(raw, basis.sizes).reflectance)
    np.testing.assert_allclose(with_tone(raw, tone, basis), raw, atol=1e-3)


def test_colours_are_those_under_the_landmarks(landmarks):
    crops = np.zeros((1, 240, 240, 3), np.float32)
    crops[..., 0] = np.linspace(0, 1, 240)[None, :]  # red grows to the right, green downwards
    crops[..., 1] = np.linspace(0, 1, 240)[:, None]
    colours = np.asarray(face_colours(crops, landmarks))[0]
    assert colours.shape == (COLOURS, 3)
    right_cheek, left_cheek = colours[1], colours[4]  # halfway between an eye and the corner of the mouth
    for cheek, eye, corner in ((right_cheek, slice(36, 42), 48), (left_cheek, slice(42, 48), 54)):
        place = (landmarks[0, eye].mean(axis=0) + landmarks[0, corner]) / 2
        np.testing.assert_allclose(cheek[:2], place / 239, atol=0.01)


def test_the_white_of_an_eye_and_its_pupil_are_found_wherever_it_looks(landmarks):
    crops = np.full((2, 240, 240, 3), 0.8, np.float32)
    corners = landmarks[0, [36, 39]]
    for crop, share in zip(crops, (0.3, 0.7), strict=True):
        x, y = (corners[0] + share * (corners[1] - corners[0])).round().astype(int)
        crop[y - 3 : y + 4, x - 3 : x + 4] = 0.1
    white, pupil = (np.asarray(face_colours(crops, landmarks.repeat(2, axis=0)))[:, -6 + k] for k in (0, 2))
    np.testing.assert_allclose(white, 0.8, atol=0.02)
    assert (pupil < 0.35).all()


def test_untrained_layers_predict_the_mean_tone():
    colours, mean = jax.random.uniform(jax.random.key(0), (3, COLOURS, 3)), jnp.array([0.5, 0.4, 0.3])
    tones, _ = run_once(SkinTone().init_with_output, jax.random.key(1), colours, mean)
    np.testing.assert_allclose(tones, np.tile(mean, (3, 1)), rtol=1e-6)
