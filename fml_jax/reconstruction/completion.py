"""Skin beside the face, completed from the final level's corrections of the skin within it.

The final level corrects the face alone. Where these corrections end, and on ears, neck and scalp, wide averages of them
take their place, so that a head has one colour of skin.
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from fml_jax.face_model.base import BaseModel
from fml_jax.ops.arrays import Array

_PLACES = 48  # about which the face's corrections are averaged
_REACH = 15.0  # mm, standard deviation of the weights of an average
_NEAREST = 40.0  # mm, standard deviation of a vertex's weights of the averages, at the face
_WIDER = 0.6  # its growth with the distance from the face, so that far away all averages count


class Completion(NamedTuple):
    """A linear map from corrections of the V trained vertices to those of all N vertices of a head."""

    averages: jax.Array  # [P, V], of the corrections about each place; rows sum to 1
    # [N, P], of the averages in a vertex's correction; a row sums to the share that is not the vertex's own, 0 to 1.
    shares: jax.Array

    @classmethod
    def of(cls, model: BaseModel, rows: np.ndarray, *, extent: np.ndarray, outside: np.ndarray) -> "Completion":
        """The completion for a mesh.

        Args:
          rows: [V], the model's vertices that are trained.
          extent: [V], how much of a trained vertex's own correction counts.
          outside: [N], whether a vertex lies beside the face and is completed.
        """
        mean = np.asarray(model.mean, np.float64)
        skin = np.asarray(model.regions["skin"])[rows] & (extent > 0.5)
        lacking = outside.astype(np.float64)
        lacking[rows] += np.asarray(model.regions["face"])[rows] * (1 - extent)
        completed = np.flatnonzero(lacking)
        shares = np.zeros((len(mean), _PLACES), np.float32)
        if not skin.any() or not len(completed):
            return cls(*jax.device_put((np.zeros((_PLACES, len(rows)), np.float32), shares)))
        sources = mean[rows][skin]
        places = sources[_spread(sources, _PLACES)]
        averages = np.zeros((_PLACES, len(rows)), np.float32)
        averages[:, skin] = _normal_weights(_distances(places, sources), _REACH)
        gaps = _distances(mean[completed], places)
        reach = _NEAREST + _WIDER * cKDTree(sources).query(mean[completed])[0]
        shares[completed] = lacking[completed, None] * _normal_weights(gaps, reach[:, None])
        return cls(*jax.device_put((averages, shares)))

    def added(self, corrections: Float[Array, "V 3"]) -> Float[Array, "N 3"]:
        """What the completion adds to all vertices, given the trained vertices' own corrections."""
        return self.shares @ (self.averages @ corrections)


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
