"""Where the final level's corrections end, and what takes their place beside the face.

The final level corrects the face alone. Towards the face's outline its corrections fall to zero. There skin turns away
from the camera, and its light is known poorly. Wide averages of the corrections of skin take their place, and go on
over ears, neck and scalp, so that a head has one colour of skin.
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.correctives import Corrections
from fml_jax.ops.arrays import Array

BESIDE_FACE = ("ears", "neck", "scalp")  # regions that border on the face

MOVES_EDGE = 12.0  # mm from the face's outline, within which moves fall to zero: no step is seen

# mm from the face's outline, within which averages take the place of corrections of skin. With 12 mm colours fit photos
# better, and chins and jaws become white: the network explains weak light from below by lighter skin.
SKIN_EDGE = 40.0

_PLACES = 48  # about which the face's corrections are averaged
_REACH = 15.0  # mm, standard deviation of the weights of an average
_NEAREST = 40.0  # mm, standard deviation of a vertex's weights of the averages, at the face
_WIDER = 0.6  # its growth with the distance from the face, so that far away all averages count


class Placement(NamedTuple):
    """Corrections of the V trained vertices on all N vertices of a head. A pytree."""

    source: jax.Array | None  # [N], the trained vertex whose correction a vertex gets; None: each its own
    extent: jax.Array  # [N, 1], how much of it: 1 within the face, falling to 0 towards its outline

    @classmethod
    def of(cls, model: BaseModel, rows: Int[np.ndarray, "V"] | None = None, *, edge: float) -> "Placement":
        """The placement on a mesh.

        Eyeballs stay: they are round, and the pictures on them are no relief. A few vertices of the skin within the
        face are not part of its region; they get the correction of the nearest trained vertex. A model without regions
        beside the face has no outline at which corrections would end.

        Args:
          rows: the model's vertices that are trained; None: all.
          edge: mm from the outline, within which corrections fall to zero.
        """
        mean = np.asarray(model.mean, np.float64)
        eyes = _eyes(model)
        within = (np.asarray(model.regions["face"]) & ~eyes).astype(np.float64)
        if rows is not None:
            enclosed = _enclosed(model)
            source = np.zeros(len(mean), np.int32)
            source[rows] = np.arange(len(rows))
            face = np.flatnonzero(within[rows])
            source[enclosed] = face[cKDTree(mean[rows][face]).query(mean[enclosed])[1]]
            within[enclosed] = 1
        ends = any(name in model.regions for name in BESIDE_FACE)
        outline = face_outline(model) if ends else np.zeros(0, int)
        if len(outline):
            within *= _soft_step(cKDTree(mean[outline]).query(mean)[0] / edge)
        placed = jax.device_put(within[:, None].astype(np.float32))
        return cls(None if rows is None else jax.device_put(source), placed)

    def placed(self, corrections: Float[Array, "V 3"]) -> Float[Array, "N 3"]:
        """The corrections of all vertices."""
        return self.extent * (corrections if self.source is None else corrections[self.source])


class SkinCompletion(NamedTuple):
    """Corrections of the reflectance of V trained vertices, completed to all N vertices of a head. A pytree.

    The mean over the skin is 0: otherwise values at the outline, which count little, could balance any other tone of
    the face.
    """

    own: Placement
    averages: jax.Array  # [P, V], of the corrections about each place; rows sum to 1
    shares: jax.Array  # [N, P], of the averages in a vertex's correction; a row sums to what is not the vertex's own
    skin: jax.Array  # [N], each vertex's share of the mean over the skin

    @classmethod
    def of(cls, model: BaseModel, rows: Int[np.ndarray, "V"] | None = None) -> "SkinCompletion":
        """The completion for a mesh.

        Args:
          rows: the model's vertices that are trained; None: all.
        """
        own, eyes = Placement.of(model, rows, edge=SKIN_EDGE), _eyes(model)
        extent, mean = np.asarray(own.extent[:, 0], np.float64), np.asarray(model.mean, np.float64)
        due = (np.asarray(model.regions["face"]) | beside_face(model)) & ~eyes
        trained = np.arange(len(mean)) if rows is None else rows
        skin = np.asarray(model.regions["skin"])[trained] & (extent[trained] > 0.5)
        averages, shares = _averages(mean[trained], skin, mean, due * (1 - extent))
        of_skin = np.asarray(model.regions["skin"], np.float32)
        return cls(own, *jax.device_put((averages, shares, of_skin / max(of_skin.sum(), 1))))

    def completed(self, corrections: Float[Array, "V 3"]) -> Float[Array, "N 3"]:
        """The corrections of all vertices."""
        added = self.own.placed(corrections) + self.shares @ (self.averages @ corrections)
        corrected = self.own.extent + self.shares.sum(axis=1, keepdims=True)
        return added - corrected * (self.skin @ added)


class Ends(NamedTuple):
    """Where both corrections end: those of geometry and those of reflectance. A pytree."""

    moves: Placement
    skin: SkinCompletion

    @classmethod
    def of(cls, model: BaseModel, rows: Int[np.ndarray, "V"] | None = None) -> "Ends":
        """The ends on a mesh.

        Args:
          rows: the model's vertices that are trained; None: all.
        """
        return cls(Placement.of(model, rows, edge=MOVES_EDGE), SkinCompletion.of(model, rows))

    def of_head(self, added: Corrections) -> Corrections:
        """The corrections of all N vertices, given those of the V trained ones."""
        return Corrections(self.moves.placed(added.geometry), self.skin.completed(added.reflectance))


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
    triangles, face = np.asarray(model.topology.triangles), np.asarray(model.regions["face"])
    sides = np.sort(_sides(triangles[face[triangles].all(axis=1)]), axis=1)
    edges, counts = np.unique(sides, axis=0, return_counts=True)
    border = edges[counts == 1]
    if not len(border):
        return np.zeros(0, int)
    parts = _parts(border, model.vertex_count)
    return np.flatnonzero(parts == np.bincount(parts[border[:, 0]]).argmax())


def _enclosed(model: BaseModel) -> Int[np.ndarray, "n"]:
    """Vertices beside the face that it surrounds: all but the largest connected part of them."""
    outside = beside_face(model)
    sides = _sides(np.asarray(model.topology.triangles))
    parts = _parts(sides[outside[sides].all(axis=1)], model.vertex_count)
    if not outside.any():
        return np.zeros(0, int)
    return np.flatnonzero(outside & (parts != np.bincount(parts[outside]).argmax()))


def _eyes(model: BaseModel) -> Bool[np.ndarray, "N"]:
    return np.asarray(model.regions.get("eyes", np.zeros(model.vertex_count, bool)))


def _sides(triangles: Int[np.ndarray, "T 3"]) -> Int[np.ndarray, "S 2"]:
    return triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)


def _parts(edges: Int[np.ndarray, "E 2"], count: int) -> Int[np.ndarray, "N"]:
    """The number of each vertex's connected part."""
    joined = coo_matrix((np.ones(len(edges)), tuple(edges.T)), (count, count))
    return connected_components(joined, directed=False)[1]


def _soft_step(share: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
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
