"""The points of the local stages: where they are, and how a code moves them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.face_model.base import geometry
from fml_jax.face_model.landmarks import landmarks478
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.landmark_projection import project_landmarks
from fml_jax.image_formation.local_points import POINTS, PointBasis
from fml_jax.image_formation.local_points import project_points as points_of
from fml_jax.photos.landmarks import EYE_POINTS
from tests.tiny_face import random_code

project_points = jax.jit(points_of)  # one program; without `jit` it would be some hundred


@pytest.fixture(scope="module")
def basis(tiny_model):
    return PointBasis.of(tiny_model)


def moved(code, change):
    """A code after a change of identity, expression, rotation and translation."""
    parts = jnp.split(change, [3, 5, 8])
    names = ("identity", "expression", "rotation", "translation")
    return code.replace(**{name: getattr(code, name) + part for name, part in zip(names, parts, strict=True)})


@jax.jit
def pixels_after(basis, code, change):
    return points_of(basis, moved(code, change)).pixels


@jax.jit
def ibug_and_mediapipe(model, code):
    """The same points from the model's landmarks."""
    places = landmarks478(model.landmarks, geometry(model, code.identity, code.expression))
    others = project(to_camera(places[jnp.asarray(EYE_POINTS)], code.rotation, code.translation))
    return project_landmarks(model, code), others


def test_the_points_are_ibugs_landmarks_and_then_mediapipes_points(tiny_model, basis):
    for seed in range(3):
        code = random_code(tiny_model, np.random.default_rng(seed))
        pixels = project_points(basis, code).pixels
        assert pixels.shape == (POINTS, 2)
        landmarks, others = ibug_and_mediapipe(tiny_model, code)
        np.testing.assert_allclose(pixels[:68], landmarks, atol=2e-3)
        np.testing.assert_allclose(pixels[68:], others, atol=2e-3)


def test_the_jacobian_agrees_with_finite_differences(basis, tiny_code):
    jacobian, step = project_points(basis, tiny_code).jacobian, np.array([0.05] * 5 + [2e-3] * 3 + [1.0] * 3)
    for k in range(11):
        change = np.where(np.arange(11) == k, step, 0).astype(np.float32)
        ahead, behind = (pixels_after(basis, tiny_code, sign * change) for sign in (1, -1))
        difference = (ahead - behind) / (2 * step[k])
        # The rotation also chooses the contour, through which no gradient flows.
        points = slice(17, None) if 5 <= k < 8 else slice(None)
        scale = float(jnp.abs(difference).max())
        np.testing.assert_allclose(jacobian[points, :, k], difference[points], atol=0.01 * scale + 1e-4)


def test_the_jacobian_is_the_derivative_of_the_pixels(basis, tiny_code):
    by_jax = jax.jit(jax.jacfwd(lambda change: pixels_after(basis, tiny_code, change)))(jnp.zeros(11))
    np.testing.assert_allclose(project_points(basis, tiny_code).jacobian, by_jax, rtol=1e-3, atol=1e-3)


def test_a_traced_models_basis_is_the_same(tiny_model, basis):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), jax.jit(PointBasis.of)(tiny_model), basis)
