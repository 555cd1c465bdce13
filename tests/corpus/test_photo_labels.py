"""The label maps of photos follow their landmarks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.corpus import photo_labels as module
from fml_jax.corpus.face_labels import LIKELY_BACKGROUND, LIKELY_FACE, UNKNOWN

# One program each; without `jit` they would be some hundred.
photo_labels, within_outline = jax.jit(module.photo_labels), jax.jit(module.within_outline)


@pytest.mark.parametrize(
    "inside, place", [(True, (0.3, 0.5)), (True, (0.9, 0.3)), (False, (0.5, 1.2)), (False, (-1.0, 0.0))]
)
def test_places_within_a_polygon(inside, place):
    outline = jnp.asarray(np.float32([[0.0, 0.0], [2.0, 0.0], [0.5, 1.0]]))
    assert bool(within_outline(jnp.asarray(np.float32(place)), outline)) is inside


def test_a_photos_labels_follow_its_landmarks():
    angle = np.pi * np.linspace(0, 1, 17)
    landmarks = np.zeros((68, 2), np.float32)
    landmarks[:17] = 120 - 70 * np.stack([np.cos(angle), -np.sin(angle)], 1)
    landmarks[17:27] = np.stack([np.linspace(70, 170, 10), np.full(10, 90)], 1)
    landmarks[27:] = [120, 140]
    landmarks[36:48] = [95, 105]
    labels = np.asarray(photo_labels(jnp.asarray(landmarks), jnp.float32(1)))
    assert labels[75, 60] == LIKELY_FACE and labels[52, 48] == UNKNOWN  # a cheek; an eye
    assert labels[110, 5] == LIKELY_BACKGROUND and labels[20, 60] == UNKNOWN  # a shoulder; the forehead
    assert (np.asarray(photo_labels(jnp.asarray(landmarks), jnp.float32(0))) == UNKNOWN).all()
