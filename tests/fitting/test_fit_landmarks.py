"""Gauss–Newton finds a face whose landmarks are known."""

import jax.numpy as jnp
import numpy as np

from fml_jax.codes import neutral_code
from fml_jax.fitting.landmarks import fit_landmarks
from fml_jax.image_formation.landmark_projection import project_landmarks


def test_landmarks_of_a_known_face_are_found(tiny_model, tiny_code):
    targets = project_landmarks(tiny_model, tiny_code)
    fitted = neutral_code(tiny_model.code_sizes)
    for _ in range(4):
        fitted = fit_landmarks(tiny_model, fitted, targets, confidence=jnp.ones(68))
    assert float(jnp.abs(project_landmarks(tiny_model, fitted) - targets).mean()) < 0.3
    np.testing.assert_allclose(fitted.rotation, tiny_code.rotation, atol=0.03)


def test_landmarks_without_confidence_do_not_matter(tiny_model, tiny_code):
    targets, start = project_landmarks(tiny_model, tiny_code), neutral_code(tiny_model.code_sizes)
    confidence = jnp.ones(68).at[30:50].set(0.0)
    one = fit_landmarks(tiny_model, start, targets, confidence=confidence)
    other = fit_landmarks(tiny_model, start, targets.at[30:50].add(40.0), confidence=confidence)
    np.testing.assert_array_equal(one.identity, other.identity)
    np.testing.assert_array_equal(one.translation, other.translation)
