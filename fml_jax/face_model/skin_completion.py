"""Where the final level's corrections of skin end, and what takes their place beside the face.

The final level corrects the face alone. Towards the face's outline, where skin turns away from the camera and its light
is known poorly, and on ears, neck and scalp, wide averages of the corrections take their place, so that a head has one
colour of skin.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from fml_jax.face_model.base import BaseModel, kept_vertices
from fml_jax.ops.arrays import Array

BESIDE_FACE = ("ears", "neck", "scalp")  # regions that border on the face

# mm from the face's outline, within which averages take the place of corrections. With 12 mm colours fit photos better,
# and chins and jaws become white: the network explains weak light from below by lighter skin.
EDGE = 40.0

_PLACES = 48  # about which the face's corrections are averaged
_REACH = 15.0  # mm, standard deviation of the weights of an average
_NEAREST = 40.0  # mm, standard deviation of a vertex's weights of the averages, at the face
_WIDER = 0.6  # its growth with the distance from the face, so that far away all averages count


class SkinCompletion(NamedTuple):
    """A linear map from corrections of the V trained vertices to those of all N vertices of a head. A pytree."""

    rows: jax.Array  # [V], the trained vertices
    extent: jax.Array  # [V, 1], how much of a trained vertex's own correction counts
    averages: jax.Array  # [P, V], of the corrections about each place; rows sum to 1
    shares: jax.Array  # [N, P], of the averages in a vertex's correction; a row sums to what is not the vertex's own

    @classmethod
    def of(cls, model: BaseModel, rows: Int[np.ndarray, "V"] | None = None) -> "SkinCompletion":
        """The completion for a mesh.

        A model without regions beside the face keeps all corrections as they are.

        Args:
          rows: the model's vertices that are trained; None: all.
        """
        rows = np.arange(model.vertex_count) if rows is None else rows
        mean, outside = np.asarray(model.mean, np.float64), beside_face(model)
        face, skin = (np.asarray(model.regions[name])[rows] for name in ("face", "skin"))
        outline = face_outline(model) if any(name in model.regions for name in BESIDE_FACE) else []
        extent = face * soft_step(cKDTree(mean[outline]).query(mean[rows])[0] / EDGE) if len(outline) else face
        lacking = outside.astype(np.float64)
        lacking[rows] += face * (1 - extent)
        averages, shares = _averages(mean[rows], skin & (extent > 0.5), mean, lacking)
        return cls(*jax.device_put((rows, extent[:, None].astype(np.float32), averages, shares)))

    def of_all(self, corrections: Float[Array, "V 3"]) -> Float[Array, "N 3"]:
        """The corrections of all vertices, given the trained vertices' own."""
        placed = jnp.zeros((len(self.shares), 3)).at[self.rows].add(self.extent * corrections)
        return placed + self.shares @ (self.averages @ corrections)

    def of_trained(self, corrections: Float[Array, "V 3"]) -> Float[Array, "V 3"]:
        """`of_all` at the trained vertices."""
        return self.extent * corrections + self.shares[self.rows] @ (self.averages @ corrections)


def beside_face(model: BaseModel) -> Bool[np.ndarray, "N"]:
    """Vertices of the regions that border on the face, without those of the face."""
    regions = {name: np.asarray(mask) for name, mask in model.regions.items()}
    outside = np.zeros(model.vertex_count, bool)
    for name in BESIDE_FACE:
        outside |= regions.get(name, outside) & ~regions["face"]
    return outside


def face_outline(model: BaseModel) -> Int[np.ndarray, "n"]:
    """Vertices on the longest border of the face's mesh; those about eyes and mouth are shorter. Empty without one.

    A model of the face alone and one of a whole head have the same outline.
    """
    kept = np.isin(np.arange(model.vertex_count), kept_vertices(model, np.asarray(model.regions["face"])))
    triangles = np.asarray(model.topology.triangles)
    sides = np.sort(triangles[kept[triangles].all(axis=1)][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges, counts = np.unique(sides, axis=0, return_counts=True)
    border = edges[counts == 1]
    if not len(border):
        return np.zeros(0, int)
    joined = coo_matrix((np.ones(len(border)), tuple(border.T)), (model.vertex_count,) * 2)
    _, parts = connected_components(joined, directed=False)
    longest = np.bincount(parts[border[:, 0]]).argmax()
    return np.flatnonzero(parts == longest)


def soft_step(share: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """0 up to 0, 1 from 1, and smooth between."""
    share = np.clip(share, 0, 1)
    return share**2 * (3 - 2 * share)


def _averages(trained, sources, mean, lacking):
    """`averages` and `shares` for the trained vertices' positions, and those of all, of which `lacking` [N] is due.

    Args:
      sources: [V], which trained vertices are averaged.
    """
    completed = np.flatnonzero(lacking)
    averages = np.zeros((_PLACES, len(trained)), np.float32)
    shares = np.zeros((len(mean), _PLACES), np.float32)
    if not sources.any() or not len(completed):
        return averages, shares
    points = trained[sources]
    places = points[_spread(points, _PLACES)]
    averages[:, sources] = _normal_weights(_distances(places, points), _REACH)
    reach = _NEAREST + _WIDER * cKDTree(points).query(mean[completed])[0]
    weights = _normal_weights(_distances(mean[completed], places), reach[:, None])
    shares[completed] = lacking[completed, None] * weights
    return averages, shares


def _spread(points: Float[np.ndarray, "n 3"], count: int) -> list[int]:
    """Points far from each other: each next one is the farthest from those before."""
    chosen, gaps = [0], np.full(len(points), np.inf)
    while len(chosen) < count:
        gaps = np.minimum(gaps, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(gaps.argmax()))
    return chosen


def _distances(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "n m"]:
    return np.linalg.norm(a[:, None] - b, axis=2)


def _normal_weights(gaps, deviation):
    """Weights [n, m] of a normal density of distances, whose rows sum to 1."""
    logs = -0.5 * (gaps / deviation) ** 2
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)
