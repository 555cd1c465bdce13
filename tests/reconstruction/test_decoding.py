"""A code becomes a face, and the decoded colours are those that were solved."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.fitting.colours import ColourSolver
from fml_jax.photos.crops import crop_photo
from fml_jax.reconstruction import Reconstructor
from fml_jax.reconstruction.decoding import decode, solve_and_decode


@pytest.fixture(scope="module")
def seen(face):
    """The network's own code of the face, and its crop."""
    code = Reconstructor(solve_colours=False, level="base")(face.photo, boxes=[tuple(face.box)])[0].code
    return code, jnp.asarray(crop_photo(face.photo, face.crop_from_photo), jnp.float32) / 255


def assert_same(one, other, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), one, other)


def test_without_a_solver_a_code_is_decoded_as_it_is(face, seen):
    code, decoded = jax.jit(solve_and_decode)(face.model, None, seen[0], crop=seen[1])
    assert_same(code, seen[0])
    assert_same(decoded, jax.jit(decode)(face.model, code), atol=1e-3)


def test_what_is_decoded_is_the_solved_code(face, seen):
    solver = ColourSolver.of(face.model)
    code, decoded = jax.jit(solve_and_decode)(face.model, solver, seen[0], crop=seen[1], known=face.unoccluded)
    assert_same(decoded, jax.jit(decode)(face.model, code), atol=1e-3)
    assert np.abs(np.asarray(code.reflectance) - np.asarray(seen[0].reflectance)).max() > 0.01
    np.testing.assert_allclose(decoded.reflectance, face.level("base").reflectance, atol=1e-3)
    kept = {"illumination": seen[0].illumination, "reflectance": seen[0].reflectance}
    assert_same(code.replace(**kept), seen[0])
