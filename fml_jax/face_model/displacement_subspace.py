"""What of geometry may be left to the correctives: what the base level cannot do, and a photo shows.

Photos alone do not tell a corrective displacement from one that the base level's own code could have made, nor one
that slides smooth skin along itself from none at all. Where the truth is known, both cost as much as what is learned
besides gains (docs/results.md, "Two levels"). In the subspace beyond the base level neither exists. The paper knows no
such subspace: its correctives are free, and E_sta (eq. 15) keeps them small.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.topology import vertex_normals
from fml_jax.ops.arrays import Array

_NOTHING = 1e-4  # of a displacement's length, along the normals: not worth excluding


class DisplacementSubspace(NamedTuple):
    """Displacements along the mean face's normals that are orthogonal to all that the base level does along them."""

    normals: jax.Array  # [N, 3]
    reached: jax.Array  # [K, N], orthonormal: how far along the normals the base level can go

    def project(self, displacements: Float[Array, "N 3"]) -> Float[Array, "N 3"]:
        """The displacements in the subspace that are nearest to given ones, mm; a linear map."""
        along = jnp.sum(self.normals * displacements, axis=1)
        along = along - (self.reached @ along) @ self.reached
        return along[:, None] * self.normals


def beyond_base(model: BaseModel) -> DisplacementSubspace:
    """The subspace beyond what a model's base level, moved, turned or scaled, can do over its "face" region."""
    normals, face = (
        np.asarray(vertex_normals(model.topology, model.mean), np.float64),
        np.asarray(model.regions["face"]),
    )
    displacements = base_displacements(model) * face[:, None]
    displacements /= np.linalg.norm(displacements, axis=(1, 2), keepdims=True)
    _, strengths, directions = np.linalg.svd(along_normals(displacements, normals), full_matrices=False)
    reached = directions[strengths > _NOTHING]
    return DisplacementSubspace(jnp.asarray(normals, jnp.float32), jnp.asarray(reached, jnp.float32))


def base_displacements(model: BaseModel) -> np.ndarray:
    """All that the base level can do to its mean face, [K, N, 3] mm: its modes, and a similarity at first order."""
    mean, face = np.asarray(model.mean, np.float64), np.asarray(model.regions["face"])
    about = mean - mean[face].mean(axis=0)
    moves = [np.broadcast_to(axis, mean.shape) for axis in np.eye(3)]
    turns = [np.cross(axis, about) for axis in np.eye(3)]
    return np.concatenate([model.identity, model.expression, moves, turns, about[None]])


def along_normals(
    displacements: Float[np.ndarray, "K N 3"], normals: Float[np.ndarray, "N 3"]
) -> Float[np.ndarray, "K N"]:
    """How far displacements go along normals, mm."""
    return np.einsum("knc,nc->kn", displacements, normals)
