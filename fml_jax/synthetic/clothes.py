"""Clothes over the neck of a synthetic face."""

import numpy as np
from jaxtyping import Float

from fml_jax.synthetic.occluders.materials import object_colour, patterned
from fml_jax.synthetic.skin_detail import chart_millimetres

_NAKED = 0.2  # share of necks without clothes in the picture


def dressed(
    rng: np.random.Generator, reflectance: Float[np.ndarray, "P 3"], places: Float[np.ndarray, "P 2"]
) -> Float[np.ndarray, "P 3"]:
    """The reflectance of pixels of a head whose neck is covered up to a random collar.

    Args:
      places: of the pixels in the chart, see `skin_detail.chart_places`.
    """
    around, up = chart_millimetres(places).T
    collar = rng.uniform(-165, -122) - rng.uniform(0, 1) * np.clip(rng.uniform(20, 60) - np.abs(around), 0, None)
    colour = object_colour(rng)
    edge_is_darker = 1 - 0.5 * np.exp(-(((up - collar) / 1.5) ** 2))
    points = np.stack([around, up, 0 * up], axis=1)
    cloth = patterned(rng, points, colour) * (edge_is_darker * (1 + 0.05 * np.sin(around / rng.uniform(3, 9))))[:, None]
    covered = (up < collar) & (rng.random() > _NAKED)
    return np.where(covered[:, None], cloth, reflectance).astype(np.float32)
