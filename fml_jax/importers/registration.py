"""Non-rigid registration: one head's surface is bent onto another's, coarse to fine.

After B. Amberg, S. Romdhani and T. Vetter, "Optimal step nonrigid ICP algorithms for surface registration", 2007, with
a displacement instead of an affine map at each vertex.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Bool, Float, Int
from scipy.sparse.linalg import splu

from fml_jax.face_model.surfaces import Mesh, at, closest_on_surface, procrustes, vertex_normals


class Pass(NamedTuple):
    """One step from coarse to fine."""

    stiffness: float  # of neighbours' displacements, against a vertex's own distance
    reach: float  # mm: pairs farther apart do not count


PASSES = tuple(map(Pass, (1000.0, 200.0, 60.0, 20.0, 6.0, 2.0), (40.0, 30.0, 20.0, 15.0, 10.0, 6.0)))
ROUNDS = 3  # of closest points for each pass
LANDMARK_WEIGHT = 30.0
FACING = 0.4  # least cosine between the normals of a pair
PULLING = 12_000  # of the target's vertices, at most so many pull the source


class Points(NamedTuple):
    """Points on a source's surface, and where they lie on the target."""

    corners: np.ndarray  # [L, 3] vertices of the source
    weights: np.ndarray  # [L, 3]
    wanted: np.ndarray  # [L, 3] mm


def register(source: Mesh, target: Mesh, landmarks: Points, *, free: Bool[np.ndarray, "N"]) -> Float[np.ndarray, "N 3"]:
    """The source's vertices on the target's surface, from any pose and size.

    Args:
      free: vertices of the source that seek no partner (linings, eyeballs, borders).
    """
    scale, rotation, centre = procrustes(at(source.vertices, landmarks.corners, landmarks.weights), landmarks.wanted)
    start = scale * (source.vertices - centre) @ rotation.T + landmarks.wanted.mean(0)
    return bent(Mesh(start, source.triangles), target, PASSES, free=free, landmarks=landmarks)


def bent(
    start: Mesh,
    target: Mesh,
    passes: Sequence[Pass],
    *,
    free: Bool[np.ndarray, "N"],
    landmarks: Points | None = None,
    rounds: int = ROUNDS,
) -> Float[np.ndarray, "N 3"]:
    """A mesh that lies near the target, with its vertices on the target's surface; arguments as those of `register`."""
    count = len(start.vertices)
    gradient = _gradient(start.triangles, count)
    on_landmarks, wanted = sparse.csr_matrix((0, count)), np.zeros((0, 3))
    if landmarks is not None:
        rows = np.repeat(np.arange(len(landmarks.corners)), 3)
        entries = (landmarks.weights.ravel(), (rows, landmarks.corners.ravel()))
        on_landmarks, wanted = sparse.csr_matrix(entries, (len(landmarks.corners), count)), landmarks.wanted
    shape, border = start.vertices, border_vertices(target.triangles, len(target.vertices))
    for stiffness, reach in passes:
        weight = LANDMARK_WEIGHT * min(1, stiffness / 10)
        fixed = stiffness * gradient.T @ gradient + weight * on_landmarks.T @ on_landmarks
        pull = weight * (on_landmarks.T @ (wanted - on_landmarks @ start.vertices))
        for _ in range(rounds):
            there, there_pull = _pull_to_target(shape, start, target, border=border, reach=reach, free=free)
            here, here_pull = _pull_from_target(shape, start, target, reach=reach, free=free)
            normal = fixed + there + here + 1e-6 * sparse.identity(count)
            shape = start.vertices + splu(normal.tocsc()).solve(pull + there_pull + here_pull)
    return shape


def _pull_to_target(shape, start, target, *, border, reach, free):
    """Normal matrix and right side of: each vertex lies on the closest point of the target."""
    corners, weights, near = _closest(shape, vertex_normals(shape, start.triangles), target, reach)
    near &= ~free & ~border[corners].any(1)
    partner = at(target.vertices, corners, weights)
    return sparse.diags(near.astype(float)), near[:, None] * (partner - start.vertices)


def _pull_from_target(shape, start, target, *, reach, free):
    """The same of: each vertex of the target has the source's closest point on it."""
    chosen = np.arange(0, len(target.vertices), -(-len(target.vertices) // PULLING))
    points, normals = target.vertices[chosen], vertex_normals(target.vertices, target.triangles)[chosen]
    corners, weights, near = _closest(points, normals, Mesh(shape, start.triangles), reach)
    near &= ~free[corners].any(1)
    kept = np.flatnonzero(near)
    rows = np.repeat(np.arange(len(kept)), 3)
    operator = sparse.csr_matrix((weights[kept].ravel(), (rows, corners[kept].ravel())), (len(kept), len(shape)))
    return operator.T @ operator, operator.T @ (points[kept] - operator @ start.vertices)


def _closest(points, normals, mesh, reach):
    """Closest points on a mesh, and whether they are near and face the same way."""
    corners, weights = closest_on_surface(points, mesh.vertices, mesh.triangles)
    mesh_normals = vertex_normals(mesh.vertices, mesh.triangles)
    partner, partner_normals = (at(array, corners, weights) for array in (mesh.vertices, mesh_normals))
    facing = (normals * partner_normals).sum(1) > FACING
    return corners, weights, facing & (np.linalg.norm(partner - points, axis=1) < reach)


def _gradient(triangles, count):
    """[E, N] differences along edges, each counted as strongly as any other."""
    sides = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges = np.unique(sides, axis=0)
    rows = np.arange(len(edges))
    ones = np.ones(len(edges))
    return sparse.csr_matrix(
        (np.concatenate([ones, -ones]), (np.concatenate([rows, rows]), edges.T.ravel())), (len(edges), count)
    )


def border_vertices(triangles: Int[np.ndarray, "T 3"], count: int) -> Bool[np.ndarray, "N"]:
    """Which of so many vertices lie on the border of a mesh or of a hole in it."""
    sides = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges, uses = np.unique(sides, axis=0, return_counts=True)
    border = np.zeros(count, bool)
    border[edges[uses == 1]] = True
    return border


@dataclass(frozen=True)
class Transfer:
    """Carries values on a registered source's vertices to the target's vertices."""

    corners: np.ndarray  # [M, 3] the source's vertices around each target vertex
    weights: np.ndarray  # [M, 3]
    distance: np.ndarray  # [M] mm between the surfaces
    facing: np.ndarray  # [M] cosine between their normals: low where the source is folded

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """[M, C] from [N, C]."""
        return np.einsum("mk,mkc->mc", self.weights, values[self.corners])


def transfer(registered: Mesh, points: Float[np.ndarray, "M 3"], normals: Float[np.ndarray, "M 3"]) -> Transfer:
    """A transfer from a registered source to points with normals on the target."""
    corners, weights = closest_on_surface(points, registered.vertices, registered.triangles)
    distance = np.linalg.norm(at(registered.vertices, corners, weights) - points, axis=1)
    source_normals = vertex_normals(registered.vertices, registered.triangles)
    facing = (at(source_normals, corners, weights) * normals).sum(1)
    return Transfer(corners, weights, distance, facing)
