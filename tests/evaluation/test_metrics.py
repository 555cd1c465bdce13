import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fml_jax.evaluation.metrics import box_size, displacement_error, landmark_error, photometric_error, rotation_error


def test_landmark_error_is_relative_to_the_references_box():
    reference = np.array([[0.0, 0.0], [30.0, 0.0], [30.0, 40.0]])
    assert box_size(reference) == pytest.approx(np.sqrt(30 * 40))
    assert landmark_error(reference + [3, 4], reference) == pytest.approx(5 / np.sqrt(1200))
    assert landmark_error(2 * (reference + [3, 4]), 2 * reference) == pytest.approx(5 / np.sqrt(1200))


def test_photometric_error_counts_members_only():
    colours = np.zeros((3, 3))
    seen = np.array([[0.3, 0.0, 0.4], [1.0, 1.0, 1.0], [0.0, 0.1, 0.0]])
    assert photometric_error(colours, seen, np.array([True, False, True])) == pytest.approx(0.3)


def test_rotation_error_is_the_angle():
    turned = Rotation.from_rotvec([0, 0, np.radians(12)]).as_matrix()
    assert rotation_error(turned, np.eye(3)) == pytest.approx(12)
    assert rotation_error(np.eye(3), np.eye(3)) == 0


def test_displacement_error_is_what_the_modes_move():
    modes = np.zeros((2, 4, 3))
    modes[0, :, 0], modes[1, :, 1] = 3, 4
    assert displacement_error(modes, np.array([1.0, 1.0]), np.zeros(2)) == pytest.approx(5)
