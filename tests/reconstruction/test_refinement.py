"""Refinement lowers a real face's energy, and ignores the landmarks that it has to leave out."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import data

from fml_jax.errors import InputError
from fml_jax.evaluation.metrics import box_size, landmark_error, mean_distance
from fml_jax.face_model import load_face_model
from fml_jax.fitting import energy
from fml_jax.fitting.energy import fit_energy
from fml_jax.losses import Observation
from fml_jax.photos.crops import apply_affine, crop_photo
from fml_jax.photos.landmarks import IBUG_FROM_MEDIAPIPE, detect_landmarks, ibug68
from fml_jax.reconstruction import refinement
from fml_jax.reconstruction.levels import learned_corrections
from fml_jax.reconstruction.refinement import refine

EVEN = np.arange(68) % 2 == 0


@pytest.fixture(scope="module")
def reference(shared):
    return ibug68(detect_landmarks(data.astronaut()))


@pytest.fixture(scope="module")
def refined(face, reference):
    return refine(face, reference)


def test_a_real_face_is_refined_to_its_landmarks(face, refined, reference):
    assert landmark_error(refined.landmarks68, reference) < min(0.012, landmark_error(face.landmarks68, reference))


def test_light_and_eyes_are_held(face, reference, monkeypatch):
    """Without the penalties the light and the eyes' reflectance move much further."""
    model = refinement.fitting_model(load_face_model(), learned_corrections(face))
    crop = jnp.asarray(crop_photo(face.photo, face.crop_from_photo), jnp.float32) / 255
    targets = jnp.asarray(apply_affine(face.crop_from_photo, reference), jnp.float32)
    observation = Observation(crop, targets, jnp.ones(68))
    modes = np.asarray(model.reflectance)[:, np.asarray(model.regions["eyes"])]

    def changes(fit):
        found = fit(model, face.code, observation, start=face.code)
        repainted = np.tensordot(found.reflectance - face.code.reflectance, modes, 1)
        return float(jnp.sum((found.illumination - face.code.illumination) ** 2)), np.mean(repainted**2)

    held = changes(fit_energy)
    for name in ("LIGHT", "EYES"):
        monkeypatch.setattr(energy, name, 0.0)
    # Compiled anew, since the penalties are constants of the program.
    free = changes(jax.jit(lambda *arguments, start: fit_energy.__wrapped__(*arguments, start=start)))
    assert held[0] < 0.9 * free[0]
    assert held[1] < 0.5 * free[1]


def test_refinement_keeps_the_final_level_and_the_person(face, refined):
    before, after = learned_corrections(face), learned_corrections(refined)
    assert np.abs(before.geometry).max() > 0.1
    np.testing.assert_allclose(after.geometry, before.geometry, atol=1e-3)
    np.testing.assert_allclose(after.reflectance, before.reflectance, atol=1e-4)
    np.testing.assert_array_equal(refined.final_code.geometry, face.final_code.geometry)
    base = refined.level("base")
    assert np.abs(refined.vertices - base.vertices).max() > 0.1
    moved = np.linalg.norm(refined.code.identity - face.code.identity)
    assert 0.1 < moved < 0.8 * np.linalg.norm(face.code.identity)  # the mean face is further away


def test_what_hides_the_face_has_no_influence(face, reference):
    """The lower half of the crop is masked, and shows two different things."""
    shown = np.ones((60, 60), np.float32)
    shown[36:] = 0
    x, y = np.meshgrid(np.arange(face.photo.shape[1]), np.arange(face.photo.shape[0]))
    rows = apply_affine(face.crop_from_photo, np.stack([x, y], -1).reshape(-1, 2).astype(float))[:, 1]
    painted = face.photo.copy()
    painted[(rows > 160).reshape(y.shape)] = (20, 200, 20)
    masked = dataclasses.replace(face, unoccluded=shown)
    one, other = (refine(each, reference) for each in (masked, dataclasses.replace(masked, photo=painted)))
    np.testing.assert_allclose(one.vertices, other.vertices, atol=0.1)
    np.testing.assert_allclose(one.reflectance, other.reflectance, atol=0.02)


@pytest.fixture(scope="module")
def refined_by_half(face, reference):
    return refine(face, reference, used=EVEN)


def test_landmarks_left_out_are_fitted_by_the_others(refined_by_half, reference):
    assert mean_distance(refined_by_half.landmarks68[~EVEN], reference[~EVEN]) / box_size(reference) < 0.025


def test_landmarks_left_out_have_no_influence(face, refined_by_half, reference):
    moved = reference.copy()
    moved[~EVEN] += 40
    other = refine(face, moved, used=EVEN)
    np.testing.assert_allclose(refined_by_half.vertices, other.vertices, atol=1e-3)


def test_without_a_landmark_model_the_photo_alone_refines(face, monkeypatch):
    asked = []

    def absent():
        asked.append(1)
        raise InputError("no landmark model")

    monkeypatch.setattr("fml_jax.photos.landmark_model.find_landmark_model", absent)
    refinement._landmarks_are_available.cache_clear()
    try:
        refined = refine(face)
        refine(face)
    finally:
        refinement._landmarks_are_available.cache_clear()
    assert len(asked) == 1  # looking for it may mean waiting for a network that is not there
    assert mean_distance(refined.landmarks68, face.landmarks68) < 6
    assert not np.allclose(refined.reflectance, face.reflectance)


def test_a_neighbours_landmarks_are_not_taken(face, reference, monkeypatch):
    found = np.zeros((478, 2), np.float32)
    found[IBUG_FROM_MEDIAPIPE] = reference
    monkeypatch.setattr("fml_jax.photos.landmarks.detect_landmarks", lambda *_: found)
    np.testing.assert_allclose(refinement._detected(face), reference)
    monkeypatch.setattr("fml_jax.photos.landmarks.detect_landmarks", lambda *_: found + box_size(reference))
    assert refinement._detected(face) is None
