"""The inputs of the losses from one photo: the crop, its landmarks, and the mask of the face."""

from typing import NamedTuple

import jax


class Observation(NamedTuple):
    """One crop with its detected landmarks; arrays may carry leading batch axes for `jax.vmap`."""

    image: jax.Array  # [240, 240, 3], RGB in [0, 1]
    landmarks: jax.Array  # [68, 2], detected iBUG points in pixels of the crop
    confidence: jax.Array  # c_f of eq. 10, [68], in [0, 1]; 0 excludes a landmark
    mask: jax.Array | None = None  # [240, 240], 1 where the crop shows the face, 0 at borders and occluders
