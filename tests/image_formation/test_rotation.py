import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fml_jax.image_formation import reference
from fml_jax.image_formation.rotation import rotation_matrices, rotation_matrix, turn_angles

jacobian = jax.jit(jax.jacfwd(rotation_matrix))

NEAR_AND_FAR = [0.0, 1e-20, 1e-8, 1e-4, 0.0999, 0.1, 0.1001, 1.0, np.pi - 1e-4, np.pi, 5.0]


@pytest.mark.parametrize("angle", NEAR_AND_FAR)
def test_agrees_with_the_reference(angle):
    axis_angle = angle * np.array([0.48, -0.6, 0.64])
    fast = rotation_matrix(jnp.asarray(axis_angle, jnp.float32))
    np.testing.assert_allclose(fast, reference.rotation_matrix(axis_angle), atol=2e-6)


@pytest.mark.parametrize("angle", NEAR_AND_FAR)
def test_gradient_agrees_with_finite_differences_of_the_reference(angle):
    axis_angle = angle * np.array([0.48, -0.6, 0.64])
    exact = jacobian(jnp.asarray(axis_angle, jnp.float32))
    step = 1e-5
    for k in range(3):
        shift = step * np.eye(3)[k]
        numeric = (reference.rotation_matrix(axis_angle + shift) - reference.rotation_matrix(axis_angle - shift)) / (
            2 * step
        )
        np.testing.assert_allclose(exact[..., k], numeric, atol=1e-5)


def test_second_derivative_is_finite_at_zero():
    hessian = jax.jit(jax.hessian(lambda w: rotation_matrix(w)[0, 0]))(jnp.zeros(3))
    np.testing.assert_allclose(hessian, np.diag([0.0, -1.0, -1.0]), atol=1e-6)


def test_is_a_rotation():
    rng = np.random.default_rng(0)
    for _ in range(20):
        R = np.asarray(rotation_matrix(jnp.asarray(rng.normal(0, 2, 3), jnp.float32)))
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=3e-6)
        assert np.linalg.det(R) > 0.999


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (0, 20, 0), (0, 0, 15), (-35, 10, -20)])
def test_turn_angles_undo_a_turn(angles):
    yaw, pitch, roll = angles
    flip = np.diag([1.0, -1.0, -1.0])
    # In camera axes (x right, y down, z forward): roll about +z is clockwise in the picture; a head
    # that turns to its left, or looks up, turns about −y and −x there.
    turn = Rotation.from_euler("YXZ", [-yaw, -pitch, roll], degrees=True).as_matrix()
    np.testing.assert_allclose(turn_angles(jnp.asarray(turn @ flip, jnp.float32)), angles, atol=1e-3)


def test_numpys_matrices_are_those_of_the_formula():
    turns = np.concatenate([np.zeros((1, 3)), 1e-4 * np.ones((1, 3)), np.random.default_rng(0).normal(size=(20, 3))])
    expected = jax.vmap(rotation_matrix)(jnp.asarray(turns, jnp.float32))
    np.testing.assert_allclose(rotation_matrices(turns), expected, atol=1e-6)
