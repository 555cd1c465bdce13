"""The subspace of displacements that the base level cannot express and that photos show.

A photo does not distinguish a corrective displacement from one that another code of the base level causes, and it does
not show displacements of smooth skin within its own surface. Measured against known geometry, the errors of both kinds
cancel the gain of the other corrections (docs/notes/former_networks.md, "Two levels"). The subspace excludes both. The
paper has no such subspace: its correctives are unconstrained, and E_sta (eq. 15) keeps them small.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.topology import vertex_normals
from fml_jax.ops.arrays import Array

_NOTHING = 1e-4  # relative to a displacement's length: smaller components along the normals are not excluded


class DisplacementSubspace(NamedTuple):
    """Displacements along the mean face's normals that are orthogonal to the base level's displacements along them."""

    normals: jax.Array  # [N, 3]
    reached: jax.Array  # [K, N], orthonormal basis of the base level's displacements along the normals

    def project(self, displacements: Float[Array, "N 3"]) -> Float[Array, "N 3"]:
        """The orthogonal projection of displacements onto the subspace, mm."""
        along = jnp.sum(self.normals * displacements, axis=1)
        along = along - (self.reached @ along) @ self.reached
        return along[:, None] * self.normals


class ToneSubspace(NamedTuple):
    """Corrections of reflectance without a mean over the skin: its tone is the base level's.

    Were it free, E_ref and E_glo (eq. 13 and 14), which penalise differences of reflectance, would make all skin darker
    and the light brighter.
    """

    share: jax.Array  # [N], each vertex's share of the mean

    @classmethod
    def of(cls, model: BaseModel) -> "ToneSubspace":
        """For a model with the region "skin"."""
        skin = jnp.asarray(model.regions["skin"], jnp.float32)
        return cls(skin / jnp.maximum(skin.sum(), 1.0))

    def project(self, reflectances: Float[Array, "N 3"]) -> Float[Array, "N 3"]:
        """Corrections less their mean over the skin, RGB."""
        return reflectances - self.share @ reflectances


def beyond_base(model: BaseModel) -> DisplacementSubspace:
    """The subspace beyond a model's base level and similarity transformations, over its "face" region."""
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
    """The base level's displacements, [K, N, 3] mm: its modes, and first-order similarity transformations."""
    mean, face = np.asarray(model.mean, np.float64), np.asarray(model.regions["face"])
    about = mean - mean[face].mean(axis=0)
    moves = [np.broadcast_to(axis, mean.shape) for axis in np.eye(3)]
    turns = [np.cross(axis, about) for axis in np.eye(3)]
    return np.concatenate([model.identity, model.expression, moves, turns, about[None]])


def along_normals(
    displacements: Float[np.ndarray, "K N 3"], normals: Float[np.ndarray, "N 3"]
) -> Float[np.ndarray, "K N"]:
    """Components of displacements along normals, mm."""
    return np.einsum("knc,nc->kn", displacements, normals)
