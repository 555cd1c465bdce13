"""Manifold harmonics: the eigenvectors of a mesh's Laplacian, smoothest first (Vallet and Lévy 2008).

They are a basis of smooth functions on the surface that nobody has to learn. The paper compares learned correctives
with them (table 2 and figure 6).
"""

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.linalg import eigsh

_SHIFT = -1e-4  # below the smallest eigenvalue, 0, so that the shifted matrix can be factorised; 1/mm²
_LEAST_AREA = 1e-6  # mm², of a vertex


def manifold_harmonics(
    vertices: Float[np.ndarray, "N 3"], triangles: Int[np.ndarray, "T 3"], count: int
) -> Float[np.ndarray, "count N"]:
    """The first eigenvectors of the cotangent Laplacian, each with a root mean square of 1.

    Args:
      vertices: mm.
      count: at most N − 1. Constants come first, one for each connected part of the mesh.
    """
    stiffness, areas = _cotangent_laplacian(np.asarray(vertices, np.float64), np.asarray(triangles))
    start = np.random.default_rng(0).normal(size=len(areas))  # ARPACK's own choice differs from run to run
    _, found = eigsh(stiffness, count, sparse.diags(areas), sigma=_SHIFT, v0=start)
    # ARPACK orders by distance from the shift: the smoothest first.
    return (found / np.sqrt((found**2).mean(axis=0))).T


def harmonic_modes(
    vertices: Float[np.ndarray, "N 3"], triangles: Int[np.ndarray, "T 3"], count: int, *, spread: float
) -> Float[np.ndarray, "count coordinates"]:
    """Modes of a corrective space: each harmonic along each of three coordinates.

    Args:
      count: C.
      spread: root mean square of a coordinate's correction when all C parameters are drawn from N(0, 1).

    Returns:
      [C, 3 N], as `correctives.CorrectiveSpace` has them.
    """
    harmonics = manifold_harmonics(vertices, triangles, -(-count // 3))
    modes = np.einsum("kn,cd->kcnd", harmonics, np.eye(3)).reshape(-1, 3 * harmonics.shape[1])[:count]
    return (spread * np.sqrt(3 / count) * modes).astype(np.float32)


def _cotangent_laplacian(vertices, triangles):
    """The stiffness matrix, and a third of the triangles' areas about each vertex."""
    corners = vertices[triangles]
    count, rows, columns, weights = len(vertices), [], [], []
    for k in range(3):
        one, other = corners[:, k - 1] - corners[:, k], corners[:, k - 2] - corners[:, k]
        doubled = np.maximum(np.linalg.norm(np.cross(one, other), axis=1), 2 * _LEAST_AREA)
        cotangent = np.einsum("tc,tc->t", one, other) / doubled
        rows.append(triangles[:, k - 1])
        columns.append(triangles[:, k - 2])
        weights.append(cotangent / 2)
    edges = sparse.coo_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), (count, count)
    )
    edges = edges + edges.T
    stiffness = sparse.diags(np.asarray(edges.sum(axis=1)).ravel()) - edges
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    of_vertices = np.bincount(triangles.ravel(), np.repeat(areas / 3, 3), minlength=count)
    return stiffness.tocsc(), np.maximum(of_vertices, _LEAST_AREA)
