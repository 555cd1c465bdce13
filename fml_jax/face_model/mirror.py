"""The mirror image of a face, vertex by vertex, for models whose mean face is nearly symmetric."""

import numpy as np
from jaxtyping import Float

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.surfaces import at, closest_on_surface


class Mirror:
    """The mirror image of faces of one model."""

    def __init__(self, model: BaseModel) -> None:
        """`model` has a mean face that is nearly symmetric."""
        mean, triangles = np.asarray(model.mean, np.float64), np.asarray(model.topology.triangles)
        self._places = closest_on_surface(mean * [-1, 1, 1], mean, triangles)

    def __call__(self, vertices: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """The mirrored face's vertices in the model's order."""
        return at(np.asarray(vertices, np.float64), *self._places) * [-1, 1, 1]
