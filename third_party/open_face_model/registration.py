"""Non-rigid registration: one head's surface is bent onto another's, coarse to fine.

After B. Amberg, S. Romdhani and T. Vetter, "Optimal step nonrigid ICP algorithms for surface registration", 2007, with
a displacement instead of an affine map at each vertex.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import splu

from third_party.open_face_model.identity import procrustes
from third_party.open_face_model.landmark_embedding import closest_on_surface
from third_party.open_face_model.pictures import vertex_normals

STIFFNESS = (1000.0, 200.0, 60.0, 20.0, 6.0, 2.0)  # of neighbours' displacements, against a vertex's own distance
REACH = (40.0, 30.0, 20.0, 15.0, 10.0, 6.0)  # mm: pairs farther apart do not count
ROUNDS = 3  # of closest points for each stiffness
LANDMARK_WEIGHT = 30.0
FACING = 0.4  # least cosine between the normals of a pair


@dataclass(frozen=True)
class Mesh:
    """A surface."""

    vertices: np.ndarray  # [N, 3] mm
    triangles: np.ndarray  # [T, 3]


def register(
    source: Mesh,
    target: Mesh,
    source_landmarks: tuple[np.ndarray, np.ndarray],
    target_landmarks: np.ndarray,
    *,
    free: np.ndarray,
) -> np.ndarray:
    """[N, 3]: the source's vertices on the target's surface.

    Args:
      source_landmarks: vertices [L, 3] and weights [L, 3] of points on the source.
      target_landmarks: [L, 3] mm, where they lie on the target.
      free: [N] bool, vertices of the source that seek no partner (linings, eyeballs, borders).
    """
    corners, weights = source_landmarks
    points = (source.vertices[corners] * weights[..., None]).sum(1)
    scale, rotation, centre = procrustes(points, target_landmarks)
    start = scale * (source.vertices - centre) @ rotation.T + target_landmarks.mean(0)
    count = len(start)
    gradient = _gradient(source.triangles, count)
    on_landmarks = sparse.csr_matrix(
        (weights.ravel(), (np.repeat(np.arange(len(corners)), 3), corners.ravel())), (len(corners), count)
    )
    shape = start
    for stiffness, reach in zip(STIFFNESS, REACH, strict=True):
        landmark_weight = LANDMARK_WEIGHT * min(1, stiffness / 10)
        fixed = stiffness * gradient.T @ gradient + landmark_weight * on_landmarks.T @ on_landmarks
        landmark_pull = landmark_weight * (on_landmarks.T @ (target_landmarks - on_landmarks @ start))
        for _ in range(ROUNDS):
            there, there_pull = _pull_to_target(shape, start, source, target, reach=reach, free=free)
            here, here_pull = _pull_from_target(shape, start, source, target, reach=reach, free=free)
            normal = fixed + there + here + 1e-6 * sparse.identity(count)
            shape = start + splu(normal.tocsc()).solve(landmark_pull + there_pull + here_pull)
    return shape


def _pull_to_target(shape, start, source, target, *, reach, free):
    """Normal matrix and right side of: each vertex lies on the closest point of the target."""
    corners, weights, near = _closest(shape, vertex_normals(shape, source.triangles), target, reach)
    near &= ~free & ~_border_vertices(target.triangles, len(target.vertices))[corners].any(1)
    partner = (target.vertices[corners] * weights[..., None]).sum(1)
    return sparse.diags(near.astype(float)), near[:, None] * (partner - start)


def _pull_from_target(shape, start, source, target, *, reach, free):
    """The same of: each vertex of the target has the source's closest point on it."""
    normals = vertex_normals(target.vertices, target.triangles)
    corners, weights, near = _closest(target.vertices, normals, Mesh(shape, source.triangles), reach)
    near &= ~free[corners].any(1)
    kept = np.flatnonzero(near)
    rows = np.repeat(np.arange(len(kept)), 3)
    operator = sparse.csr_matrix((weights[kept].ravel(), (rows, corners[kept].ravel())), (len(kept), len(shape)))
    return operator.T @ operator, operator.T @ (target.vertices[kept] - operator @ start)


def _closest(points, normals, mesh, reach):
    """Closest points on a mesh, and whether they are near and face the same way."""
    corners, weights = closest_on_surface(points, mesh.vertices, mesh.triangles)
    mesh_normals = vertex_normals(mesh.vertices, mesh.triangles)
    partner, partner_normals = ((array[corners] * weights[..., None]).sum(1) for array in (mesh.vertices, mesh_normals))
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


def _border_vertices(triangles, count):
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


def transfer(registered: Mesh, points: np.ndarray, normals: np.ndarray) -> Transfer:
    """A transfer from a registered source to the closest points on the target: [M, 3], with normals."""
    corners, weights = closest_on_surface(points, registered.vertices, registered.triangles)
    distance = np.linalg.norm((registered.vertices[corners] * weights[..., None]).sum(1) - points, axis=1)
    source_normals = vertex_normals(registered.vertices, registered.triangles)
    facing = ((source_normals[corners] * weights[..., None]).sum(1) * normals).sum(1)
    return Transfer(corners, weights, distance, facing)
