"""Modes as integers: as precise as asked for, and still in range when they are large."""

import numpy as np
import pytest

from fml_jax.face_model.integer_modes import quantised, restored


@pytest.mark.parametrize("size", [0.0, 0.3, 20.0])
def test_restored_modes_are_within_the_error(size):
    modes = size * np.random.default_rng(0).standard_normal((4, 50, 3))
    integers, steps = quantised(modes, error=0.01)
    assert integers.dtype == np.int16 and restored(integers, steps).dtype == np.float32
    assert np.abs(restored(integers, steps) - modes).max() <= 0.01 + 1e-5


def test_modes_too_large_for_the_precision_get_a_coarser_step():
    modes = np.array([[[4000.0, -4000.0, 1.0]]])
    integers, steps = quantised(modes, error=0.01)
    np.testing.assert_allclose(restored(integers, steps), modes, atol=steps.max())
