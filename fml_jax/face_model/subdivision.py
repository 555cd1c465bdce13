"""Catmull–Clark subdivision as one sparse matrix, so that a mesh and its modes are refined alike.

After E. Catmull and J. Clark, "Recursively generated B-spline surfaces on arbitrary topological
meshes", 1978; boundaries follow the cubic B-spline crease rule of H. Hoppe et al., 1994.
"""

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float, Integer


def catmull_clark(
    quads: Integer[np.ndarray, "Q 4"], vertex_count: int
) -> tuple[sparse.csr_matrix, Integer[np.ndarray, "4*Q 4"]]:
    """One Catmull–Clark step.

    Args:
      quads: [Q, 4] vertex numbers.
      vertex_count: N0, the number of control vertices.

    Returns:
      operator [N1, N0], which takes control vertices to refined ones. The refined vertices are the
        moved control vertices, then one point an edge (edges numbered by their first appearance in
        `quads`), then one point a quad.
      quads [4Q, 4]; quad q becomes quads 4q … 4q+3, in the order of its corners and each with that
        corner first, so that the orientation is kept.
    """
    quads = np.asarray(quads, np.int64)
    edges, edge_of_side = _number_edges(quads, vertex_count)
    faces_of_edge = np.bincount(edge_of_side.ravel(), minlength=len(edges))
    boundary = faces_of_edge != 2

    face_points = _average(quads, vertex_count)
    midpoints = _average(edges, vertex_count)
    quad_of_side = np.repeat(np.arange(len(quads)), 4)
    face_of_edge = _incidence(edge_of_side.ravel(), quad_of_side, (len(edges), len(quads)))
    smooth_edge = 0.5 * midpoints + 0.25 * face_of_edge @ face_points
    edge_points = _choose(boundary, midpoints, smooth_edge)
    vertex_points = _vertex_points(quads, edges, boundary, face_points, midpoints, vertex_count)

    operator = sparse.vstack([vertex_points, edge_points, face_points], format="csr")
    operator.eliminate_zeros()
    operator.sort_indices()
    return operator, _split(quads, edge_of_side + vertex_count, vertex_count + len(edges))


def subdivide_uv(
    uv: Float[np.ndarray, "M 2"], uv_quads: Integer[np.ndarray, "Q 4"]
) -> tuple[Float[np.ndarray, "M1 2"], Integer[np.ndarray, "4*Q 4"]]:
    """Texture coordinates of the refined quads, in `catmull_clark`'s order: linear, so charts keep their outline."""
    uv_quads = np.asarray(uv_quads, np.int64)
    edges, edge_of_side = _number_edges(uv_quads, len(uv))
    refined = np.concatenate([uv, uv[edges].mean(1), uv[uv_quads].mean(1)])
    return refined, _split(uv_quads, edge_of_side + len(uv), len(uv) + len(edges))


def triangulate(quads: Integer[np.ndarray, "Q 4"]) -> Integer[np.ndarray, "2*Q 3"]:
    """Two triangles a quad, in the quads' order: corners (0, 1, 2) and (0, 2, 3)."""
    return np.asarray(quads)[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3)


def _number_edges(quads, vertex_count):
    """Edges [E, 2] as (lower, higher) by first appearance, and the edge of each quad's side [Q, 4]."""
    sides = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1), axis=-1).reshape(-1, 2)
    keys = sides[:, 0] * vertex_count + sides[:, 1]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    by_appearance = np.argsort(first)
    rank = np.empty_like(by_appearance)
    rank[by_appearance] = np.arange(len(first))
    return sides[first[by_appearance]], rank[inverse.ravel()].reshape(quads.shape)


def _vertex_points(quads, edges, boundary, face_points, midpoints, vertex_count):
    """Inside (mean face point + 2 mean midpoint + (n − 3) vertex) / n; on borders 3/4 vertex + 1/8 each neighbour."""
    quad_of_vertex = _incidence(quads.ravel(), np.repeat(np.arange(len(quads)), 4), (vertex_count, len(quads)))
    edge_of_vertex = _incidence(edges.ravel(), np.repeat(np.arange(len(edges)), 2), (vertex_count, len(edges)))
    valence = np.maximum(np.asarray(edge_of_vertex.sum(1)).ravel(), 1)
    smooth = (
        _rows(1 / valence**2) @ (quad_of_vertex @ face_points)
        + _rows(2 / valence**2) @ (edge_of_vertex @ midpoints)
        + _rows((valence - 3) / valence)
    )
    boundary_edges = edge_of_vertex @ _rows(boundary)
    boundary_degree = np.asarray(boundary_edges.sum(1)).ravel()
    crease = 0.5 * sparse.identity(vertex_count) + 0.25 * boundary_edges @ midpoints
    fixed = (boundary_degree > 0) & (boundary_degree != 2)  # corners, where several boundaries meet
    return _choose(fixed, sparse.identity(vertex_count), _choose(boundary_degree == 2, crease, smooth))


def _split(quads, edge_points, first_face_point):
    face_points = np.broadcast_to(first_face_point + np.arange(len(quads))[:, None], quads.shape)
    corners = [quads, edge_points, face_points, np.roll(edge_points, 1, axis=1)]
    return np.stack(corners, axis=-1).reshape(-1, 4)


def _incidence(rows, columns, shape):
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)


def _average(polygons, vertex_count):
    count, corners = polygons.shape
    return _incidence(np.repeat(np.arange(count), corners), polygons.ravel(), (count, vertex_count)) / corners


def _rows(weights):
    return sparse.diags(np.asarray(weights, float))


def _choose(mask, where_true, where_false):
    return (_rows(mask) @ where_true + _rows(~mask) @ where_false).tocsr()
