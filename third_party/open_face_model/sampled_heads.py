"""Random heads to look at, for placing landmarks."""

from collections.abc import Iterator

import numpy as np

from fml_jax.image_formation.plain_pictures import View
from third_party.open_face_model.landmark_embedding import Head


def random_heads(operator, identity, expressions, reflectance, count: int) -> Iterator[Head]:
    """Heads with random identities, reflectances, mild expressions, poses and lights."""
    rng = np.random.default_rng(478)
    for number in range(count):
        shape = identity.mean + np.tensordot(rng.standard_normal(len(identity.modes)), identity.modes, 1)
        shape = shape + np.tensordot(0.35 * rng.standard_normal(len(expressions.modes)), expressions.modes, 1)
        colours = reflectance.mean + np.tensordot(
            0.9 * rng.standard_normal(len(reflectance.modes)), reflectance.modes, 1
        )
        spread = 22 if number % 2 else 78  # half of the renders face the camera
        view = View(rng.uniform(-spread, spread), rng.uniform(-10, 10), 400)
        light = np.array([rng.uniform(-0.5, 0.5), rng.uniform(0, 0.6), 1.0])
        yield Head(operator @ shape, np.clip(colours, 0.01, 1), view, light)
