"""Parameters that are given to a layer."""

import jax
import numpy as np
import pytest
from flax import errors
from flax import linen as nn

from fml_jax.ops.parameters import GivenParameters

ROWS = np.ones((2, 3), np.float32)


traced = []  # shapes for which the initializer was traced


def drawn(key, shape):
    traced.append(shape)
    return jax.random.normal(key, shape)


class Scaled(GivenParameters, nn.Module):
    """A factor for each column."""

    @nn.compact
    def __call__(self, rows):
        return rows * self.param("scale", drawn, (3,))


def test_what_is_given_is_used_and_no_initializer_is_traced():
    assert Scaled().init(jax.random.key(0), ROWS)["params"]["scale"].shape == (3,)
    traced.clear()
    given = {"params": {"scale": np.array([1.0, 2.0, 3.0], np.float32)}}
    np.testing.assert_array_equal(Scaled().apply(given, ROWS), [[1, 2, 3]] * 2)
    assert not traced


def test_a_parameter_of_another_shape_is_refused_and_a_missing_one_too():
    with pytest.raises(errors.ScopeParamShapeError):
        Scaled().apply({"params": {"scale": np.ones(4, np.float32)}}, ROWS)
    with pytest.raises(errors.ScopeCollectionNotFound):
        Scaled().apply({"params": {}}, ROWS)
