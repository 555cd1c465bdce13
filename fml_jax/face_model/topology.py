"""How vertices hang together: triangles, one-rings and normals as gather tables.

Sums over a vertex's triangles or neighbours are written as gathers through padded index tables,
forward and backward: scatter-adds are slow on CPUs and not reproducible on GPUs.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Topology(NamedTuple):
    """Index tables of a triangle mesh of N vertices and T triangles (int32).

    Padding entries point one past the end and gather zeros.
    """

    triangles: jax.Array  # [T, 3], counter-clockwise seen from outside
    vertex_triangles: jax.Array  # [N, D], the triangles around each vertex, padded with T
    vertex_corners: jax.Array  # [N, D], the same as rows of the flattened corners [3T], padded with 3T
    neighbours: jax.Array  # [N, K], the one-ring N_i, padded with N


def make_topology(triangles: np.ndarray, vertex_count: int) -> Topology:
    """Tables for triangles [T, 3] over `vertex_count` vertices.

    Raises:
      ValueError: an index is out of range.
    """
    triangles = np.asarray(triangles, np.int32)
    if triangles.size and (triangles.min() < 0 or triangles.max() >= vertex_count):
        raise ValueError(f"triangles name vertices outside 0…{vertex_count - 1}")
    corners = np.arange(triangles.size, dtype=np.int32)
    vertex_corners = _padded_rows(triangles.ravel(), corners, vertex_count, padding=triangles.size)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    both_ways = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    return Topology(
        triangles=jnp.asarray(triangles),
        vertex_triangles=jnp.asarray(vertex_corners // 3),
        vertex_corners=jnp.asarray(vertex_corners),
        neighbours=jnp.asarray(_padded_rows(both_ways[:, 0], both_ways[:, 1], vertex_count, padding=vertex_count)),
    )


def vertex_normals(topology: Topology, vertices: Float[Array, "N 3"]) -> Float[Array, "N 3"]:
    """Unit normals: the area-weighted mean of the triangles around each vertex, pointing outside.

    A vertex with no area around it has a zero normal (and so is never visible).
    """
    triangle_count = topology.triangles.shape[0]
    corners = gather_sum(vertices, topology.triangles.reshape(-1, 1), topology.vertex_corners)
    a, b, c = jnp.moveaxis(corners.reshape(triangle_count, 3, 3), 1, 0)
    areas = jnp.cross(b - a, c - a)
    sums = gather_sum(areas, topology.vertex_triangles, topology.triangles)
    squared = jnp.sum(sums**2, axis=1, keepdims=True)
    # The guard is on the root's argument: its gradient at zero would be infinite.
    return jnp.where(squared > 0, sums / jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)


def neighbour_counts(topology: Topology) -> Array:
    """|N_i|, [N] int."""
    return jnp.sum(topology.neighbours < topology.neighbours.shape[0], axis=1)


def one_ring_sum(topology: Topology, values: Float[Array, "N C"]) -> Float[Array, "N C"]:
    """Σ_{j∈N_i} values_j. Its own transpose, since neighbours are mutual."""
    return gather_sum(values, topology.neighbours, topology.neighbours)


@jax.custom_vjp
def gather_sum(values: Float[Array, "M C"], table: Array, transposed: Array) -> Float[Array, "R C"]:
    """Row r of the result is the sum of the rows of `values` that table[r] names.

    `transposed` [M, ·] names for each row of `values` the results that it went into; with it the
    backward pass is a gather as well. Entries past the end count as zero.
    """
    return jnp.sum(jnp.take(values, table, axis=0, mode="fill", fill_value=0), axis=1)


def _gather_sum_forward(values, table, transposed):
    return gather_sum(values, table, transposed), (table, transposed)


def _gather_sum_backward(tables, cotangent):
    table, transposed = tables
    return gather_sum(cotangent, transposed, table), None, None


gather_sum.defvjp(_gather_sum_forward, _gather_sum_backward)


def _padded_rows(keys: np.ndarray, values: np.ndarray, key_count: int, padding: int) -> np.ndarray:
    """Rows of the values that share a key, [key_count, widest row], filled up with `padding`."""
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    counts = np.bincount(keys, minlength=key_count)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    table = np.full((key_count, max(int(counts.max(initial=0)), 1)), padding, np.int32)
    table[keys, np.arange(len(keys)) - starts[keys]] = values
    return table
