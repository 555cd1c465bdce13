"""ARKit's shapes as weights of an expression."""

import numpy as np
import pytest

from fml_jax.face_model.files import load_arkit_shapes, load_face_model
from fml_jax.fitting.named_shapes import named_shapes


@pytest.fixture(scope="module")
def shapes():
    return named_shapes(load_face_model())


def test_codes_of_named_shapes_give_their_displacements(shapes):
    model = load_face_model()
    for name, displacement in load_arkit_shapes().items():
        code = shapes.codes[shapes.names.index(name)]
        np.testing.assert_allclose(np.tensordot(code, np.asarray(model.expression), 1), displacement, atol=0.01)


def test_the_weights_that_made_an_expression_are_found_again(shapes):
    rng = np.random.default_rng(0)
    for _ in range(5):
        wanted = np.zeros(len(shapes.names))
        chosen = [shapes.names.index(name) for name in ("jawOpen", "eyeBlinkLeft", "mouthSmileRight", "browInnerUp")]
        wanted[chosen] = rng.uniform(0.2, 1, len(chosen))
        np.testing.assert_allclose(shapes.weights(wanted @ shapes.codes), wanted, atol=0.06)


def test_weights_stay_within_bounds_and_explain_what_they_can(shapes):
    rng = np.random.default_rng(1)
    for _ in range(5):
        code = rng.normal(size=shapes.codes.shape[1])
        weights = shapes.weights(code)
        assert weights.min() >= 0 and weights.max() <= 1
        left = np.linalg.norm(shapes.factor @ (code - weights @ shapes.codes))
        assert left < np.linalg.norm(shapes.factor @ code)


def test_no_expression_has_no_weights(shapes):
    np.testing.assert_allclose(shapes.weights(np.zeros(shapes.codes.shape[1])), 0, atol=1e-9)


def test_a_model_with_other_modes_has_no_named_shapes(tiny_model):
    assert named_shapes(tiny_model) is None
