"""Clothes over the neck of a synthetic face."""

import numpy as np
from jaxtyping import Float

from fml_jax.synthetic.occluders.materials import object_colour, patterned
from fml_jax.synthetic.skin_detail import chart_millimetres

_LOW, _HIGH = -165.0, -122.0  # mm above the middle of the head; the range of collars
_NAKED = 0.2  # share of necks without clothes in the picture


def dressed(
    rng: np.random.Generator, reflectance: Float[np.ndarray, "3 P"], places: Float[np.ndarray, "2 P"]
) -> Float[np.ndarray, "3 P"]:
    """The reflectance of pixels of a head whose neck is covered up to a random collar.

    Args:
      places: of the pixels in the chart, see `skin_detail.chart_places`.
    """
    low, slope, depth = rng.uniform(_LOW, _HIGH), rng.uniform(0, 1), rng.uniform(20, 60)  # mm
    wave, colour = rng.uniform(3, 9), object_colour(rng)
    if rng.random() < _NAKED:
        return reflectance
    around, up = chart_millimetres(places)
    collar = low - slope * np.clip(depth - np.abs(around), 0, None)
    below = np.flatnonzero(up < collar)
    around, up, collar = around[below], up[below], collar[below]
    edge_is_darker = 1 - 0.5 * np.exp(-(((up - collar) / 1.5) ** 2))
    cloth = patterned(rng, np.stack([around, up, 0 * up], axis=1), colour)
    covered = reflectance.copy()
    covered[:, below] = cloth.T * edge_is_darker * (1 + 0.05 * np.sin(around / wave))
    return covered
