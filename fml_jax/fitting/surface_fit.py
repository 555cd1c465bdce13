"""A face model's modes and pose fitted to a surface with another mesh: the nearest face of the model's span.

Closest points and Gauss–Newton steps alternate. The error is counted along the surface's normals, and a little in all
directions, so that the face may slide on smooth skin.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from scipy.spatial.transform import Rotation

from fml_jax.face_model.surfaces import Mesh, SurfaceSearch, at, vertex_normals

_FACING = 0.4  # least cosine between the normals of a pair
_ALONG = 0.05  # weight of distances in all directions, against those along the normal
_MOST_POINTS = 1500  # of the model, that seek a partner


class Pass(NamedTuple):
    """One step from coarse to fine."""

    reach: float  # mm: pairs farther apart do not count
    strength: float  # 1/mm²: of the mean squared distance, against Σ c²
    rounds: int
    modes: int  # how many of the modes may move


class Pose(NamedTuple):
    """x ↦ scale · rotation x + shift."""

    scale: float
    rotation: np.ndarray  # [3, 3]
    shift: np.ndarray  # [3]

    def __call__(self, points: Float[np.ndarray, "*rows 3"]) -> Float[np.ndarray, "*rows 3"]:
        """The points, moved."""
        return self.scale * points @ self.rotation.T + self.shift


class SurfaceFit(NamedTuple):
    """The nearest face of a model."""

    coefficients: np.ndarray  # [K], standard deviations
    pose: Pose  # from model space to the surface's


def fit_to_surface(
    mean: Mesh,
    modes: Float[np.ndarray, "K N 3"],
    surface: Mesh,
    *,
    start: Pose,
    passes: Sequence[Pass],
    members: Integer[np.ndarray, "P"],
    keeps_size: bool = False,
) -> SurfaceFit:
    """The code and pose of a model whose face lies nearest to a surface.

    Args:
      mean: the model's mean face.
      surface: may have holes, a border within the face and further parts.
      members: vertices of the model that seek partners.
      keeps_size: the pose's scale stays as it is.
    """
    rows = members[:: -(-len(members) // _MOST_POINTS)]
    basis = np.asarray(modes, np.float64)[:, rows]
    coefficients, pose = np.zeros(len(basis)), start
    normals = vertex_normals(surface.vertices, surface.triangles)
    search = SurfaceSearch(surface.vertices, surface.triangles)
    for reach, strength, rounds, count in passes:
        count = min(count, len(basis))
        for _ in range(rounds):
            shape = mean.vertices + np.tensordot(coefficients, modes, 1)
            points = pose(shape[rows])
            own = vertex_normals(shape, mean.triangles)[rows] @ pose.rotation.T
            corners, weights = search.closest(points)
            partners, facing = at(surface.vertices, corners, weights), at(normals, corners, weights)
            gaps = partners - points
            near = (np.linalg.norm(gaps, axis=1) < reach) & ((own * facing).sum(1) > _FACING)
            if near.sum() < 20:
                break
            step = _step(points, gaps, facing, pose=pose, near=near, basis=basis[:count], strength=strength)
            coefficients, pose = _moved(coefficients, pose, step, count=count, strength=strength, keeps_size=keeps_size)
    return SurfaceFit(coefficients, pose)


class _Equations(NamedTuple):
    """Normal equations of a step: coefficients, turn (3), shift (3), logarithm of the size."""

    normal: np.ndarray
    right: np.ndarray


def _step(points, gaps, facing, *, pose, near, basis, strength):
    moved = pose.scale * basis[:, near] @ pose.rotation.T
    about = points[near] - pose.shift
    turns = np.stack([np.cross(axis, about) for axis in np.eye(3)])
    shifts = np.broadcast_to(np.eye(3)[:, None], (3, len(about), 3))
    columns = np.concatenate([moved, turns, shifts, about[None]])  # [K + 7, P, 3]
    along = np.einsum("kpc,pc->kp", columns, facing[near])
    flat = columns.reshape(len(columns), -1)
    normal = along @ along.T + _ALONG * flat @ flat.T
    right = along @ (gaps[near] * facing[near]).sum(1) + _ALONG * flat @ gaps[near].ravel()
    share = strength / near.sum()
    return _Equations(share * normal, share * right)


def _moved(coefficients, pose, step, *, count, strength, keeps_size):
    size = count + 6 + (not keeps_size)
    normal, right = step.normal[:size, :size].copy(), step.right[:size].copy()
    ridge = np.zeros(size)
    ridge[:count] = 1
    normal += np.diag(ridge + 1e-9 * strength)
    right[:count] -= coefficients[:count]
    change = np.linalg.solve(normal, right)
    coefficients = coefficients.copy()
    coefficients[:count] += change[:count]
    turn = Rotation.from_rotvec(change[count : count + 3]).as_matrix()
    scale = pose.scale * (1.0 if keeps_size else float(np.exp(np.clip(change[-1], -0.1, 0.1))))
    return coefficients, Pose(scale, turn @ pose.rotation, pose.shift + change[count + 3 : count + 6])
