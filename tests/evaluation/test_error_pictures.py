"""Pictures of colour errors."""

import numpy as np
import pytest

from fml_jax.evaluation.error_pictures import SIZE, error_picture, error_strip
from fml_jax.evaluation.photos import face_colour_error


def test_the_error_is_that_of_the_table_and_darker_where_it_is_smaller(face):
    base, final = error_picture(face.level("base")), error_picture(face)
    assert final[1] == pytest.approx(face_colour_error(face), abs=1e-6) and final[1] < base[1]
    shown = (final[0] < 200).any(axis=2)  # not the ground
    assert 0.1 < shown.mean() < 0.8
    assert final[0][shown].mean() < base[0][shown].mean()


def test_a_strip_has_the_photo_and_two_pictures_for_each_level(face):
    assert error_strip(face).shape[1] == 5 * SIZE
    assert error_strip(face.level("base")).shape[1] == 3 * SIZE
    assert np.ptp(error_strip(face)) > 200
