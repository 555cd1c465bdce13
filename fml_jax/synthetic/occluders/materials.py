"""Colours of objects, cloth and skin."""

import numpy as np
from jaxtyping import Float


def object_colour(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """A random colour of an object: mostly greyish, sometimes saturated."""
    return np.clip(rng.uniform(0.03, 0.95) + rng.exponential(0.08) * rng.normal(size=3), 0, 1)


def dark_colour(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """Black, or a dark brown, blue or red."""
    return np.clip(rng.uniform(0.02, 0.12) + rng.exponential(0.05) * rng.dirichlet([1.5, 0.8, 0.8]), 0, 0.5)


def skin_like(rng: np.random.Generator, skin: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """The skin of a hand, which is usually the face's owner's: about as light, redder or paler."""
    if rng.random() < 0.1:
        skin = np.array([0.80, 0.60, 0.50]) * rng.uniform(0.3, 1.1)
    return np.clip(skin * rng.lognormal(0, 0.08) * (1 + np.array([0.04, -0.02, -0.03]) * rng.normal()), 0.02, 0.95)


def patterned(
    rng: np.random.Generator, points: Float[np.ndarray, "*shape 3"], colour: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "*shape 3"]:
    """The colours of cloth at its points: plain, striped, chequered or dotted.

    Args:
      points: mm.
    """
    kind = rng.choice(["plain", "stripes", "checks", "dots"], p=[0.6, 0.16, 0.12, 0.12])
    if kind == "plain":
        return np.broadcast_to(colour, points.shape)
    turn, period = rng.uniform(0, np.pi), rng.uniform(6, 25)
    a = np.cos(turn) * points[..., 0] + np.sin(turn) * points[..., 1]
    b = np.cos(turn) * points[..., 1] - np.sin(turn) * points[..., 0]
    wave_a, wave_b = np.sin(2 * np.pi * a / period), np.sin(2 * np.pi * b / period)
    chosen = {"stripes": wave_a > 0, "checks": wave_a * wave_b > 0, "dots": wave_a + wave_b > 1.1}[str(kind)]
    return np.where(chosen[..., None], object_colour(rng), colour)
