"""Specular highlights, which the code's image formation does not have (Blinn and Phong's model)."""

import numpy as np
from jaxtyping import Float

from fml_jax.synthetic.light import Light

_TO_CAMERA = np.array([0.0, 0.0, -1.0])  # from every point alike: the camera is far away


def highlights(
    normals: Float[np.ndarray, "3 P"],
    gloss: Float[np.ndarray, "P"],
    sharpness: float,
    *,
    light: Light,
) -> Float[np.ndarray, "3 P"]:
    """RGB to be added: gloss · Σ_lamps colour · (n · h)^sharpness, h midway between the lamp and the camera.

    Args:
      normals: unit, camera axes.
      gloss: strength, [0, 1].
      sharpness: from 5 (broad) to some hundreds (mirror-like).
    """
    middle = light.directions + _TO_CAMERA
    length = np.linalg.norm(middle, axis=1)
    before = length > 1e-3  # a lamp straight behind the face has none
    middle = (middle[before] / length[before, None]).astype(np.float32)
    strengths = gloss * np.maximum(middle @ normals, 0) ** np.float32(sharpness)
    return light.colours[before].T.astype(np.float32) @ strengths
