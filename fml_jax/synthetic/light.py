"""The light of synthetic faces: lamps, and their sum with ambient light as the code's illumination γ."""

from dataclasses import dataclass
from functools import cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from fml_jax.image_formation.illumination import sh_basis
from fml_jax.image_formation.sphere import fibonacci_sphere

_FLOOR = 0.1  # smallest shading that the camera sees
_WARMTH = np.array([1.0, 0.1, -1.1])  # of lamps, from candles to sky: change of the logarithm of R, G, B
_WARMTH_STD, _TINT_STD = 0.07, 0.02
_COLOURED = 0.08  # share of lamps with a colour of their own
_COLOUR_STD = 0.22  # of the logarithm of such a lamp's R, G, B


@dataclass(frozen=True)
class Light:
    """What lights a face, in camera axes (x right, y down, z away from the camera)."""

    gamma: Float[np.ndarray, "9 3"]  # all of it, the code's illumination
    directions: Float[np.ndarray, "L 3"]  # unit, from the face to each lamp
    colours: Float[np.ndarray, "L 3"]  # RGB: the shading by each lamp of a surface that is turned to it


def sample_light(rng: np.random.Generator, brightness: float) -> Light:
    """Ambient light and one to three lamps, mostly above and in front.

    The exposure is limited such that the visible side of a face whose skin has this brightness is between 0.28 and
    0.65 on average.
    """
    normals, basis, inverse = _sphere()
    directions = rng.normal([0.0, -0.5, -0.8], [0.8, 0.5, 0.5], size=(rng.integers(1, 4), 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    share = rng.uniform(0.3, 0.9)
    strengths = rng.dirichlet(np.ones(len(directions)))
    colours = (1 - share) * 2 * strengths[:, None] * np.stack([_lamp_colour(rng) for _ in directions])
    irradiance = share * _tinted(rng) + np.maximum(normals @ directions.T, 0) @ colours
    gamma = inverse @ irradiance
    visible = basis[normals[:, 2] < -0.2]
    exposure = np.clip(rng.uniform(0.7, 1.25), 0.28 / brightness, 0.65 / brightness) / (visible @ gamma).mean()
    gamma, colours = exposure * gamma, exposure * colours
    # Ambient light is added such that no visible shading is below the floor.
    gamma[0] += max(0.0, _FLOOR - (visible @ gamma).min())
    return Light(gamma, directions, colours)


@cache
def _sphere():
    """Directions spread over a sphere [400, 3], the harmonics there [400, 9], and these harmonics' pseudo-inverse."""
    normals = fibonacci_sphere(400)
    basis = np.asarray(sh_basis(jnp.asarray(normals, jnp.float32)), np.float64).T
    return normals, basis, np.linalg.pinv(basis)


def _lamp_colour(rng):
    coloured = np.exp(rng.normal(0, _COLOUR_STD, 3)) if rng.random() < _COLOURED else 1.0
    return coloured * _tinted(rng)


def _tinted(rng):
    """RGB of a nearly white lamp, warm or cold."""
    return np.exp(rng.normal(0, _WARMTH_STD) * _WARMTH + rng.normal(0, _TINT_STD, 3))
