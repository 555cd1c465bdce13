import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fml_jax.face_model.landmarks import contour_by_pose, landmarks68

FLIP = np.diag([1.0, -1.0, -1.0])


def turned(yaw, roll=0.0):
    """R of a head turned to its left by `yaw` degrees before a camera that has rolled."""
    turn = Rotation.from_euler("ZY", [roll, -yaw], degrees=True).as_matrix()
    return jnp.asarray(turn @ FLIP, jnp.float32)


def stored(model, bin_index):
    points = np.asarray(model.mean)[np.asarray(model.landmarks.contour_vertices[bin_index])]
    return np.einsum("lkc,lk->lc", points, np.asarray(model.landmarks.contour_weights[bin_index]))


@pytest.mark.parametrize("yaw, bin_index", [(-60, 0), (0, 1), (60, 2), (85, 2)])
def test_at_a_stored_yaw_the_stored_contour_is_taken(tiny_model, yaw, bin_index):
    found = contour_by_pose(tiny_model.landmarks, tiny_model.mean, turned(yaw))
    np.testing.assert_allclose(found, stored(tiny_model, bin_index), atol=0.01)


def test_between_them_it_is_blended(tiny_model):
    found = contour_by_pose(tiny_model.landmarks, tiny_model.mean, turned(15))
    np.testing.assert_allclose(found, 0.75 * stored(tiny_model, 1) + 0.25 * stored(tiny_model, 2), atol=0.01)


def test_rolling_the_camera_does_not_move_the_contour(tiny_model):
    upright, rolled = (contour_by_pose(tiny_model.landmarks, tiny_model.mean, turned(25, roll)) for roll in (0, 40))
    np.testing.assert_allclose(upright, rolled, atol=0.01)


def test_the_other_landmarks_do_not_slide(tiny_model):
    left, right = (landmarks68(tiny_model.landmarks, tiny_model.mean, turned(yaw)) for yaw in (-50, 50))
    np.testing.assert_array_equal(left[17:], right[17:])
    assert np.abs(np.asarray(left[:17] - right[:17])).max() > 1
