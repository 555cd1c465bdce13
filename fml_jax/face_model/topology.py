"""Mesh connectivity: triangles, one-rings and normals as gather tables.

Sums over a vertex's triangles or neighbours are written as gathers through padded index tables,
forward and backward: scatter-adds are slow on CPUs and not reproducible on GPUs.
"""

from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from fml_jax.ops.arrays import Array
from fml_jax.ops.dot_products import squared_lengths
from fml_jax.ops.sampling import entries

_MOST_AROUND = 1000  # triangles at one vertex: tables have a column for each
_MOST_ENTRIES = 2**26  # of a table


class Topology(NamedTuple):
    """Index tables of a triangle mesh of N vertices and T triangles (int32).

    Padding entries point one past the end and gather zeros, unless a field states otherwise.
    """

    triangles: jax.Array  # [T, 3], counter-clockwise seen from outside
    rings: jax.Array  # [W, N], walks around each vertex as `_walks` has them, padded with the vertex itself
    neighbours: jax.Array  # [N, K], the one-ring N_i, padded with N
    edges: jax.Array  # [E, 2], every pair of neighbours once, the smaller index first
    vertex_edges: (
        jax.Array
    )  # [N, K], the edges at each vertex: e where it comes first, E + e where second, padded with 2E


def make_topology(triangles: np.ndarray, vertex_count: int) -> Topology:
    """Tables for triangles [T, 3] over `vertex_count` vertices.

    Raises:
      ValueError: an index is out of range.
    """
    triangles = np.asarray(triangles, np.int32)
    if triangles.size and (triangles.min() < 0 or triangles.max() >= vertex_count):
        raise ValueError(f"triangles name vertices outside 0…{vertex_count - 1}")
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.unique(np.sort(sides[sides[:, 0] != sides[:, 1]], axis=1), axis=0)
    starts, ends = np.concatenate([edges, edges[:, ::-1]]).T
    tables = {
        "triangles": triangles,
        "rings": _walks(triangles, vertex_count),
        "neighbours": _padded_rows(starts, ends, vertex_count, padding=vertex_count),
        "edges": edges,
        "vertex_edges": _padded_rows(starts, np.arange(len(starts), dtype=np.int32), vertex_count, len(starts)),
    }
    return Topology(**jax.device_put(tables))


def too_many_around(triangles: np.ndarray, vertex_count: int) -> int | None:
    """The most triangles that share a vertex, if tables with a column for each would be large; otherwise None.

    Args:
      triangles: [T, 3], or quads [Q, 4].
    """
    around = int(np.bincount(np.asarray(triangles, np.int64).ravel(), minlength=1).max(initial=0))
    return around if around > min(_MOST_AROUND, _MOST_ENTRIES // max(vertex_count, 1)) else None


def rings_of(triangles: np.ndarray, vertex_count: int) -> Int[Array, "W N"]:
    """`Topology.rings` of some of a mesh's triangles [T, 3]."""
    return jax.device_put(_walks(np.asarray(triangles, np.int32), vertex_count))


def vertex_normals(topology: Topology, vertices: Float[Array, "N 3"]) -> Float[Array, "N 3"]:
    """Unit normals: the area-weighted mean of the triangles around each vertex, pointing outside.

    A vertex with no area around it has a zero normal (and so is never visible).
    """
    return _unit(area_sums(vertices, topology))


def mesh_normals(triangles: Int[np.ndarray, "T 3"], vertices: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
    """`vertex_normals` of NumPy arrays, for pictures and files: to compile that for each mesh takes seconds."""
    # Coordinate by coordinate: half the time of rows of three.
    first, second, third = np.ascontiguousarray(triangles.T)
    coordinates = np.ascontiguousarray(vertices.T)
    (ux, uy, uz), (vx, vy, vz) = (coordinates[:, other] - coordinates[:, first] for other in (second, third))
    areas = (uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx)
    corners = triangles.ravel().astype(np.intp)
    sums = np.stack([np.bincount(corners, np.repeat(area, 3), len(vertices)) for area in areas])
    lengths = np.sqrt(sums[0] ** 2 + sums[1] ** 2 + sums[2] ** 2)
    return (sums / np.where(lengths > 0, lengths, 1)).T.astype(np.float32, order="C")


def normals_at(rows: Int[Array, "S"], rings: Int[Array, "W S"], vertices: Float[Array, "N 3"]) -> Float[Array, "S 3"]:
    """`vertex_normals` of some vertices alone, zero where there is no area.

    Args:
      rows: which vertices.
      rings: their columns of `Topology.rings`.
    """
    return _unit(_areas_around(vertices[rows], rings, vertices))


def _unit(sums):
    squared = squared_lengths(sums)[:, None]
    # The guard is on the root's argument: its gradient at zero would be infinite.
    return jnp.where(squared > 0, sums * jax.lax.rsqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)


@jax.custom_vjp
def area_sums(vertices: Float[Array, "N 3"], topology: Topology) -> Float[Array, "N 3"]:
    """Σ (b − a) × (c − a) over the triangles (a, b, c) around each vertex a."""
    return _areas_around(vertices, topology.rings, vertices)


def _areas_around(corners, rings, vertices):
    # A step to or from the vertex itself adds nothing. XLA's CPU backend takes less time when it gathers the
    # coordinates one by one.
    coordinates = list(zip(vertices.T, corners.T, strict=True))
    around = [[entries(axis, column) - own for axis, own in coordinates] for column in rings]
    return sum(_cross(b, c) for b, c in pairwise(around))


def _area_sums_forward(vertices, topology):
    return area_sums(vertices, topology), (vertices, topology)


def _area_sums_backward(saved, cotangent):
    # A triangle's area vector is a×b + b×c + c×a, so its corner a receives (b − c) × g, where g is the sum
    # of its corners' cotangents.
    vertices, topology = saved
    itself = jnp.arange(len(vertices))

    def received(b, c):
        inside = (b != itself) & (c != itself)
        sides = jnp.where(inside[:, None], _gather(vertices, b) - _gather(vertices, c), 0.0)
        of_corners = cotangent + _gather(cotangent, b) + _gather(cotangent, c)
        return _cross(sides.T, of_corners.T)

    return sum(received(b, c) for b, c in pairwise(topology.rings)), None


area_sums.defvjp(_area_sums_forward, _area_sums_backward)


def neighbour_counts(topology: Topology) -> Array:
    """|N_i|, [N] int."""
    return jnp.sum(topology.neighbours < topology.neighbours.shape[0], axis=1)


@jax.custom_vjp
def one_ring_sum(values: Float[Array, "N C"], topology: Topology) -> Float[Array, "N C"]:
    """Σ_{j∈N_i} values_j. Its own transpose, since neighbours are mutual."""
    return _gather_rows(values, topology.neighbours)


def _one_ring_forward(values, topology):
    return one_ring_sum(values, topology), topology


def _one_ring_backward(topology, cotangent):
    return one_ring_sum(cotangent, topology), None


one_ring_sum.defvjp(_one_ring_forward, _one_ring_backward)


@jax.custom_vjp
def edge_differences(values: Float[Array, "N C"], topology: Topology) -> Float[Array, "E C"]:
    """values_i − values_j of every edge (i, j)."""
    return values[topology.edges[:, 0]] - values[topology.edges[:, 1]]


def _edge_differences_forward(values, topology):
    return edge_differences(values, topology), topology


def _edge_differences_backward(topology, cotangent):
    return _gather_rows(jnp.concatenate([cotangent, -cotangent]), topology.vertex_edges), None


edge_differences.defvjp(_edge_differences_forward, _edge_differences_backward)


def _cross(a, b):
    """a × b of vectors given by their coordinates, [N] each."""
    return jnp.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]], axis=-1)


def _gather(values, rows):
    return jnp.take(values, rows, axis=0, mode="clip")


def _gather_rows(values, table):
    """Sums of the rows of `values` that each row of the table names; entries past the end are zero."""
    # A row of zeros there takes less time than a comparison for every entry.
    values = jnp.concatenate([values, jnp.zeros_like(values[:1])])
    return jnp.sum(_gather(values, table), axis=1)


def _walks(triangles: np.ndarray, vertex_count: int) -> np.ndarray:
    """Walks along the far edges of the triangles around each vertex, all of a vertex's walks in its column.

    Each pair of consecutive entries is a triangle of the vertex, unless one entry is the vertex itself: such entries
    separate walks and pad columns. Around an inner vertex the walk is closed.
    """
    own = np.arange(vertex_count)
    corners = _padded_rows(triangles.ravel(), np.arange(triangles.size), vertex_count, padding=triangles.size)
    begins, ends = (np.append(np.roll(triangles, -k, axis=1), -1)[corners] for k in (1, 2))
    left = (begins != ends) & (begins != own[:, None]) & (ends != own[:, None])  # a triangle of two corners has no area
    first = ~(begins[:, :, None] == ends[:, None, :]).any(axis=2)  # no edge leads to these
    at = own
    columns: list[np.ndarray] = []
    while left.any() or len(columns) < 2:
        starts = (at == own)[:, None]
        choices = np.where(starts, left * (1 + first), left & (begins == at[:, None]))
        edge, found = choices.argmax(axis=1), choices.any(axis=1)
        at = np.where(found, np.where(starts, begins, ends)[own, edge], own)
        left[own, edge] &= starts[:, 0] | ~found
        columns.append(at)
    return np.stack(columns).astype(np.int32)


def _padded_rows(keys: np.ndarray, values: np.ndarray, key_count: int, padding: int) -> np.ndarray:
    """Rows of the values that share a key, [key_count, widest row], filled up with `padding`."""
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    counts = np.bincount(keys, minlength=key_count)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    table = np.full((key_count, max(int(counts.max(initial=0)), 1)), padding, np.int32)
    table[keys, np.arange(len(keys)) - starts[keys]] = values
    return table
