"""Highlights against their formula, lamp by lamp and point by point."""

import numpy as np

from fml_jax.synthetic.highlights import highlights
from fml_jax.synthetic.light import Light


def test_they_are_the_sum_over_lamps():
    rng = np.random.default_rng(0)
    normals, directions = rng.normal(size=(3, 20)).astype(np.float32), rng.normal(size=(3, 3))
    normals /= np.linalg.norm(normals, axis=0)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions[1] = [0, 0, 1]  # straight behind the face
    light = Light(np.zeros((9, 3)), directions, rng.random((3, 3)))
    gloss = rng.random(20).astype(np.float32)
    expected = np.zeros((3, 20))
    for lamp in (0, 2):
        middle = directions[lamp] + [0, 0, -1]
        middle /= np.linalg.norm(middle)
        for k in range(20):
            expected[:, k] += gloss[k] * max(normals[:, k] @ middle, 0) ** 9 * light.colours[lamp]
    assert expected.max() > 0.05
    np.testing.assert_allclose(highlights(normals, gloss, 9.0, light=light), expected, atol=1e-5)
