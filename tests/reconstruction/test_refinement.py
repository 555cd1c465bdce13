"""Refinement finds faces that are known, and keeps what it is told to leave out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import data

from fml_jax.codes import neutral_code
from fml_jax.errors import InputError
from fml_jax.evaluation.metrics import box_size, landmark_error, mean_distance
from fml_jax.image_formation.points import form_points
from fml_jax.losses import Observation, base_energy
from fml_jax.photos.crops import apply_affine, crop_photo
from fml_jax.photos.landmarks import IBUG_FROM_MEDIAPIPE, detect_landmarks, ibug68
from fml_jax.reconstruction import refinement as fitting
from fml_jax.reconstruction.refinement import WEIGHTS, fit_energy, fit_landmarks, refine
from fml_jax.training.held_out import projected68
from tests.conftest import random_code

EVEN = np.arange(68) % 2 == 0


@pytest.fixture(scope="module")
def reference(shared):
    return ibug68(detect_landmarks(data.astronaut()))


def test_landmarks_of_a_known_face_are_found(tiny_model, tiny_code):
    targets = projected68(tiny_model, tiny_code)
    fitted = neutral_code(*tiny_model.code_sizes)
    for _ in range(4):
        fitted = fit_landmarks(tiny_model, fitted, targets, jnp.ones(68))
    assert float(jnp.abs(projected68(tiny_model, fitted) - targets).mean()) < 0.3
    np.testing.assert_allclose(fitted.rotation, tiny_code.rotation, atol=0.03)


def test_the_energy_falls_and_the_best_code_is_kept(tiny_model):
    tiny_model = tiny_model.replace(regions={**tiny_model.regions, "eyes": jnp.zeros(tiny_model.vertex_count, bool)})
    truth = random_code(tiny_model, np.random.default_rng(11))
    targets = projected68(tiny_model, truth)
    points = form_points(tiny_model, truth)
    crop = np.full((240, 240, 3), 0.4, np.float32)
    pixels = np.clip(np.asarray(points.pixels).round().astype(int), 0, 239)
    for dx in range(-8, 9):
        for dy in range(-8, 9):
            crop[np.clip(pixels[:, 1] + dy, 0, 239), np.clip(pixels[:, 0] + dx, 0, 239)] = points.colours
    observation = Observation(jnp.asarray(crop), targets, jnp.ones(68))
    energy = lambda code: float(base_energy(tiny_model, code, observation, weights=WEIGHTS)[0])
    start = jax.tree.map(lambda part: part * 0.97, truth)
    fitted = fit_energy(tiny_model, start, jnp.asarray(crop), targets, jnp.ones(68), start.reflectance)
    assert energy(fitted) < 0.3 * energy(start)


def test_a_real_face_is_refined_to_its_landmarks(face, reference):
    refined = refine(face, reference)
    assert landmark_error(refined.landmarks68, reference) < min(0.012, landmark_error(face.landmarks68, reference))


def test_what_the_photo_does_not_tell_is_held(face, reference, monkeypatch):
    """Free of what holds them, the light runs off and the eyes go where no skin has sent them."""
    model = fitting._face_model()
    crop = jnp.asarray(crop_photo(face.photo, face.crop_from_photo), jnp.float32) / 255
    targets = jnp.asarray(apply_affine(face.crop_from_photo, reference), jnp.float32)
    modes = np.asarray(model.reflectance)[:, np.asarray(model.regions["eyes"])]

    def changes():
        jax.clear_caches()
        found = fit_energy(model, face.code, crop, targets, jnp.ones(68), face.code.reflectance)
        repainted = np.tensordot(found.reflectance - face.code.reflectance, modes, 1)
        return float(jnp.sum((found.illumination - face.code.illumination) ** 2)), np.mean(repainted**2)

    held = changes()
    for name in ("LIGHT", "EYES"):
        monkeypatch.setattr(fitting, name, 0.0)
    free = changes()
    jax.clear_caches()
    assert held[0] < 0.9 * free[0]
    assert held[1] < 0.5 * free[1]


def test_landmarks_left_out_are_fitted_by_the_others(face, reference):
    refined = refine(face, reference, used=EVEN)
    assert mean_distance(refined.landmarks68[~EVEN], reference[~EVEN]) / box_size(reference) < 0.025


def test_landmarks_left_out_have_no_say(face, reference):
    moved = reference.copy()
    moved[~EVEN] += 40
    one, other = refine(face, reference, used=EVEN), refine(face, moved, used=EVEN)
    np.testing.assert_allclose(one.vertices, other.vertices, atol=1e-3)


def test_without_a_landmark_model_the_photo_alone_refines(face, monkeypatch):
    asked = []

    def absent():
        asked.append(1)
        raise InputError("no landmark model")

    monkeypatch.setattr("fml_jax.photos.landmark_model.find_landmark_model", absent)
    fitting._landmarks_are_at_hand.cache_clear()
    try:
        refined = refine(face)
        refine(face)
    finally:
        fitting._landmarks_are_at_hand.cache_clear()
    assert len(asked) == 1  # looking for it may mean waiting for a network that is not there
    assert mean_distance(refined.landmarks68, face.landmarks68) < 6
    assert not np.allclose(refined.reflectance, face.reflectance)


def test_a_neighbours_landmarks_are_not_taken(face, reference, monkeypatch):
    found = np.zeros((478, 2), np.float32)
    found[IBUG_FROM_MEDIAPIPE] = reference
    monkeypatch.setattr("fml_jax.photos.landmarks.detect_landmarks", lambda *_: found)
    np.testing.assert_allclose(fitting._detected(face), reference)
    monkeypatch.setattr("fml_jax.photos.landmarks.detect_landmarks", lambda *_: found + box_size(reference))
    assert fitting._detected(face) is None
