"""Synthetic people whom the base model cannot express: hidden modes of geometry and reflectance outside its span.

A population has features that its base model lacks: hooked noses, heavy brows, hollow cheeks, beards. Each hidden mode
is the sum of smooth bumps at landmarks of the mean face, made orthogonal, over the face, to the modes of the base level
and to similarity transformations. No code of the base model reproduces any part of it.
"""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.displacement_subspace import along_normals, base_displacements
from fml_jax.face_model.landmarks import landmarks68
from fml_jax.face_model.topology import Topology, vertex_normals

SPREAD = 0.4  # of identities and expressions, relative to the base model's: one population varies less than all people
_BLOB = 9.0  # mm; standard deviation and distance of the Gaussians that hidden modes consist of
_STIFFNESS = 10.0  # weight of the penalty on large coefficients
_ROUGHNESS = 1e4  # weight of the penalty on wrinkles
_FRONTAL = np.diag([1.0, -1.0, -1.0]).astype(np.float32)


class _Bumps(NamedTuple):
    """A hidden mode before the span is removed from it: a sum of Gaussians."""

    centres: tuple[tuple[int, ...], ...]  # each is the mean of these iBUG landmarks
    width: tuple[float, float, float]  # mm along x, y, z
    # Geometry: displacement along x (away from the middle), y, z and the normal. Reflectance: change of R, G, B.
    change: tuple[float, ...]
    mean: float  # of the population: the mode's largest displacement in mm, or its largest change of colour
    spread: float  # standard deviation about the mean


_GEOMETRY = (
    _Bumps(((30,),), (14, 14, 22), (0, -0.7, 1, 0), 7.5, 2.0),  # a long, drooping nose
    _Bumps(((28,),), (9, 10, 20), (0, 0, 1, 0), 5.0, 2.0),  # its hump
    _Bumps(((18, 20), (23, 25)), (20, 9, 20), (0, 0, 0, 1), 6.5, 2.0),  # heavy brows
    _Bumps(((3, 48), (13, 54)), (16, 22, 22), (0, 0, 0, -1), 7.5, 2.0),  # hollow cheeks
    _Bumps(((1, 41), (15, 46)), (16, 12, 22), (0, 0, 0, 1), 6.5, 2.0),  # cheekbones
    _Bumps(((5,), (11,)), (16, 16, 22), (1, 0, 0, 0.5), 7.5, 2.0),  # a wide jaw
    _Bumps(((8, 57),), (14, 12, 20), (0, 0, 0, 1), 6.5, 2.0),  # a strong chin
    _Bumps(((31, 48), (35, 54)), (9, 16, 20), (0, 0, 0, -1), 4.5, 1.5),  # folds beside nose and mouth
)
_REFLECTANCE = (
    _Bumps(((2, 31), (14, 35)), (16, 14, 30), (0.2, -1, -0.8), 0.2, 0.05),  # red cheeks
    _Bumps(((36, 39), (42, 45)), (18, 14, 30), (-1, -0.9, -0.6), 0.2, 0.05),  # dark rims of the eyes
    _Bumps(((33, 51),), (17, 5, 20), (-1, -1, -1), 0.22, 0.06),  # a moustache
    _Bumps(((5, 48), (6, 57), (8, 57), (10, 57), (11, 54)), (13, 13, 30), (-1, -0.95, -0.9), 0.22, 0.06),  # a beard
    _Bumps(((27,), (28,), (29,)), (6, 12, 30), (0.9, 0.9, 0.6), 0.15, 0.04),  # a pale bridge of the nose
    _Bumps(((17, 19), (24, 26)), (16, 6, 30), (-1, -1, -1), 0.2, 0.05),  # thick brows
)


@dataclass(frozen=True)
class Population:
    """Hidden modes and the distribution of their coefficients over people.

    M modes of geometry in mm and K modes of reflectance in RGB. The largest value of each mode over the face has length
    1.
    """

    geometry: Float[np.ndarray, "M N 3"]
    geometry_mean: Float[np.ndarray, "M"]
    geometry_spread: Float[np.ndarray, "M"]
    reflectance: Float[np.ndarray, "K N 3"]
    reflectance_mean: Float[np.ndarray, "K"]
    reflectance_spread: Float[np.ndarray, "K"]

    def draw(self, model: BaseModel, rng: np.random.Generator) -> BaseModel:
        """A random person: the model with another mean. The model's own modes vary this mean as usual."""
        shape = rng.normal(self.geometry_mean, self.geometry_spread)
        skin = rng.normal(self.reflectance_mean, self.reflectance_spread)
        return dataclasses.replace(
            model,
            mean=model.mean + np.tensordot(shape, self.geometry, axes=1).astype(np.float32),
            reflectance_mean=model.reflectance_mean + np.tensordot(skin, self.reflectance, axes=1).astype(np.float32),
        )


def hidden_population(model: BaseModel) -> Population:
    """The hidden modes of a model of a whole head; a deterministic function of the model.

    Hidden modes of geometry lie along the mean face's normals, because photos show such displacements by shading and
    perspective, but not displacements of smooth skin within its surface. Over the "face" region each hidden mode is
    orthogonal to every mode of the base level; a mode of geometry also to translation, rotation and scaling of the mean
    face, a mode of reflectance also to a constant shift.
    """
    mean, face = np.asarray(model.mean, np.float64), np.asarray(model.regions["face"])
    normals = np.asarray(vertex_normals(model.topology, model.mean), np.float64)
    landmarks = np.asarray(landmarks68(model.landmarks, model.mean, _FRONTAL), np.float64)
    smooth = _Smooth(model.topology, mean, face)
    shapes = along_normals(base_displacements(model), normals)[:, :, None]
    colours = np.concatenate([model.reflectance, np.broadcast_to(np.eye(3)[:, None], (3, *mean.shape))])
    bumps = along_normals(np.stack(list(_displacements(mean, normals, landmarks))), normals)[:, :, None]
    return Population(
        geometry=smooth.out_of_span(bumps, shapes) * normals,
        geometry_mean=np.array([each.mean for each in _GEOMETRY]),
        geometry_spread=np.array([each.spread for each in _GEOMETRY]),
        reflectance=smooth.out_of_span(np.stack(list(_tints(mean, landmarks))), colours),
        reflectance_mean=np.array([each.mean for each in _REFLECTANCE]),
        reflectance_spread=np.array([each.spread for each in _REFLECTANCE]),
    )


class _Smooth:
    """Fields on a mesh that are sums of Gaussians about points spread evenly over the face."""

    def __init__(self, topology: Topology, mean, face) -> None:
        self._face = face
        self._blobs = _blobs(mean, mean[_spread_out(mean, np.flatnonzero(face))])  # [N, S]
        on_face = self._blobs[face]
        # The penalty on a combination of Gaussians: large coefficients that nearly cancel, and wrinkles on the face.
        rough = _laplacian(self._blobs, topology)[face]
        self._cost = _STIFFNESS * np.eye(self._blobs.shape[1]) + _ROUGHNESS * rough.T @ rough
        self._overlap = on_face.T @ on_face

    def out_of_span(self, raw, modes):
        """The fields nearest to raw ones [M, N, C] that are orthogonal to all modes [K, N, C] over the face.

        Subtracting a field's projection onto the modes would be nearer, but it leaves their finest wrinkles.

        Returns:
          [M, N, C]; the largest length of each field on the face is 1.
        """
        face, on_face, channels = self._face, self._blobs[self._face], raw.shape[2]
        against = np.tensordot(modes[:, face].astype(np.float64), on_face, axes=(1, 0))  # [K, C, S]
        allowed = np.linalg.svd(against.reshape(len(modes), -1))[2][len(modes) :].reshape(
            -1, channels, on_face.shape[1]
        )
        weighed = np.tensordot(allowed @ (self._overlap + self._cost), allowed, axes=((1, 2), (1, 2)))
        wanted = np.tensordot(allowed, np.tensordot(on_face, raw[:, face], axes=(0, 1)), axes=((2, 1), (0, 2)))
        found = np.tensordot(np.linalg.solve(weighed, wanted).T, allowed, axes=1) @ self._blobs.T  # [M, C, N]
        found = np.ascontiguousarray(found.swapaxes(1, 2))
        return found / np.linalg.norm(found[:, face], axis=2).max(axis=1)[:, None, None]


def _blobs(mean, centres):
    """A Gaussian about each centre, [N, S]."""
    squared = ((mean[:, None] - centres[None]) ** 2).sum(axis=2)
    return np.exp(-0.5 * squared / _BLOB**2)


def _spread_out(mean, members):
    """A greedily chosen subset of the members (vertex numbers); no member is farther than `_BLOB` from it."""
    taken = [members[0]]
    distance = np.linalg.norm(mean[members] - mean[taken[0]], axis=1)
    while distance.max() > _BLOB:
        taken.append(members[distance.argmax()])
        distance = np.minimum(distance, np.linalg.norm(mean[members] - mean[taken[-1]], axis=1))
    return taken


def _laplacian(fields, topology):
    """The difference of each vertex's value from its neighbours' mean, for fields [N, S]."""
    neighbours = np.asarray(topology.neighbours)
    inside = neighbours < len(fields)
    around = fields[np.where(inside, neighbours, 0)] * inside[:, :, None]
    return fields - around.sum(axis=1) / np.maximum(inside.sum(axis=1), 1)[:, None]


def _displacements(mean, normals, landmarks):
    """`_GEOMETRY` as fields on the mesh, [N, 3] each."""
    away = np.clip(mean[:, 0] / 20, -1, 1)  # direction of x away from the middle
    for bumps in _GEOMETRY:
        x, y, z, along_normal = bumps.change
        straight = np.column_stack([x * away, np.full(len(mean), y), np.full(len(mean), z)])
        yield _weight(mean, landmarks, bumps) * (straight + along_normal * normals)


def _tints(mean, landmarks):
    """`_REFLECTANCE` as fields on the mesh, [N, 3] each."""
    for bumps in _REFLECTANCE:
        yield _weight(mean, landmarks, bumps) * np.array(bumps.change)


def _weight(mean, landmarks, bumps):
    """The sum of a mode's Gaussians, [N, 1]."""
    centres = np.stack([landmarks[list(numbers)].mean(axis=0) for numbers in bumps.centres])
    offsets = (mean[None] - centres[:, None]) / np.array(bumps.width)
    return np.exp(-0.5 * (offsets**2).sum(axis=2)).sum(axis=0)[:, None]
