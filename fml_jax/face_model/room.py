"""What of geometry is left to the correctives: displacements that the base level could not have made, and that a photo shows."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from fml_jax.arrays import Array
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.topology import vertex_normals


class Room(NamedTuple):
    """Displacements along the mean face's normals, orthogonal to all that the base level can do of these."""

    normals: jax.Array  # [N, 3]
    reach: jax.Array  # [K, N], orthonormal rows

    def nearest(self, corrections: Float[Array, "N 3"]) -> Float[Array, "N 3"]:
        """The displacements in this room that are nearest to given ones."""
        along = jnp.sum(self.normals * corrections, axis=1)
        along = along - (self.reach @ along) @ self.reach
        return along[:, None] * self.normals


def beyond_base(model: BaseModel) -> Room:
    """The room beyond a model's identities, expressions and similarities over its "face" region; nothing elsewhere is left out."""
    mean, face = np.asarray(model.mean, np.float64), np.asarray(model.regions["face"])
    normals = np.asarray(vertex_normals(model.topology, model.mean), np.float64)
    fields = np.concatenate([model.identity, model.expression, similarities(mean, face)])
    along = np.einsum("knc,nc->kn", fields, normals) * face
    left, strengths, rows = np.linalg.svd(along, full_matrices=False)
    rows = rows[strengths > 1e-4 * strengths[0]]
    return Room(jnp.asarray(normals, jnp.float32), jnp.asarray(rows, jnp.float32))


def similarities(mean: np.ndarray, members: np.ndarray) -> np.ndarray:
    """What moving, turning and scaling do to a mean face [N, 3] at first order, about its members' centre: [7, N, 3]."""
    about = mean - mean[members].mean(axis=0)
    axes = np.eye(3)
    return np.stack([*(np.broadcast_to(axis, mean.shape) for axis in axes), *(np.cross(axis, about) for axis in axes), about])
