"""Specular highlights, which the code's image formation does not have (Blinn and Phong's model)."""

import numpy as np
from jaxtyping import Float

from fml_jax.synthetic.light import Light

_TO_CAMERA = np.array([0.0, 0.0, -1.0])  # from every point alike: the camera is far away


def highlights(
    normals: Float[np.ndarray, "P 3"],
    gloss: Float[np.ndarray, "P"],
    sharpness: float,
    *,
    light: Light,
) -> Float[np.ndarray, "P 3"]:
    """RGB to be added: gloss · Σ_lamps colour · (n · h)^sharpness, h midway between the lamp and the camera.

    Args:
      normals: unit, camera axes.
      gloss: strength, [0, 1].
      sharpness: from 5 (broad) to some hundreds (mirror-like).
    """
    added = np.zeros((len(normals), 3), np.float32)
    for direction, colour in zip(light.directions, light.colours, strict=True):
        middle = direction + _TO_CAMERA
        length = np.linalg.norm(middle)
        if length < 1e-3:  # a lamp straight behind the face
            continue
        towards = np.maximum(normals @ np.asarray(middle / length, np.float32), 0)
        added += (gloss * towards ** np.float32(sharpness))[:, None] * colour.astype(np.float32)
    return added
