import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.face_model.topology import (
    area_sums,
    edge_differences,
    make_topology,
    mesh_normals,
    neighbour_counts,
    normals_at,
    one_ring_sum,
    vertex_normals,
)
from fml_jax.image_formation import reference


def test_normals_agree_with_the_reference(tiny_model):
    vertices = tiny_model.mean + np.random.default_rng(0).normal(size=tiny_model.mean.shape).astype(np.float32)
    slow = [
        reference.vertex_normal(i, np.asarray(vertices), np.asarray(tiny_model.topology.triangles)) for i in range(81)
    ]
    np.testing.assert_allclose(vertex_normals(tiny_model.topology, vertices), slow, atol=1e-5)


def test_normals_of_numpy_arrays_are_the_same(tiny_model):
    triangles = np.asarray(tiny_model.topology.triangles)
    vertices = np.append(tiny_model.mean, [[9, 9, 9]], axis=0)  # the last one has no triangle
    wanted = vertex_normals(make_topology(triangles, len(vertices)), vertices)
    found = mesh_normals(triangles, vertices)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert not found[-1].any()


def test_normal_gradients_agree_with_finite_differences_of_the_reference(tiny_model):
    rng = np.random.default_rng(1)
    weights, direction = rng.normal(size=(2, 81, 3))
    triangles = np.asarray(tiny_model.topology.triangles)
    mean = np.asarray(tiny_model.mean, np.float64)

    def slow(v):
        return sum(weights[i] @ reference.vertex_normal(i, v, triangles) for i in range(81))

    numeric = (slow(mean + 1e-4 * direction) - slow(mean - 1e-4 * direction)) / 2e-4
    gradient = jax.grad(lambda v: jnp.sum(vertex_normals(tiny_model.topology, v) * weights))(tiny_model.mean)
    assert float(np.sum(np.asarray(gradient) * direction)) == pytest.approx(numeric, rel=1e-3)


def test_a_collapsed_mesh_has_zero_normals_and_finite_gradients(tiny_model):
    flat = jnp.zeros_like(tiny_model.mean)
    np.testing.assert_array_equal(vertex_normals(tiny_model.topology, flat), 0)
    gradient = jax.grad(lambda v: jnp.sum(vertex_normals(tiny_model.topology, v)))(flat)
    assert np.isfinite(gradient).all()


MESHES = {
    "one triangle": [[0, 1, 2]],
    "closed": [[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]],
    "an open fan": [[0, 1, 2], [0, 2, 3], [0, 3, 4]],
    "two fans that share a vertex": [[0, 1, 2], [0, 2, 3], [0, 4, 5]],
    "a closed and an open fan that share a vertex": [[0, 1, 2], [0, 2, 3], [0, 3, 1], [0, 4, 5], [0, 5, 6]],
    "three triangles at an edge": [[0, 1, 2], [0, 1, 3], [0, 1, 4]],
    "turned against each other": [[0, 1, 2], [0, 3, 2]],
    "the same triangle twice": [[0, 1, 2], [0, 1, 2]],
    "corners that coincide": [[0, 0, 1], [1, 2, 2], [3, 3, 3], [0, 1, 2]],
    "no triangle": np.zeros((0, 3)),
    "random": np.random.default_rng(6).integers(0, 7, (20, 3)),
}


@pytest.mark.parametrize("triangles", MESHES.values(), ids=MESHES)
def test_area_sums_of_any_triangles_agree_with_plain_loops(triangles):
    """And so do their gradients; vertex 7 has no triangle in any of them."""
    vertices, asked = np.random.default_rng(7).normal(size=(2, 8, 3)).astype(np.float32)
    sums, gradient = np.zeros((2, 8, 3))
    for a, b, c in np.asarray(triangles, int):
        area = np.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])
        of_all = asked[a] + asked[b] + asked[c]
        for corner, before, after in ((a, b, c), (b, c, a), (c, a, b)):
            sums[corner] += area
            gradient[corner] += np.cross(vertices[before] - vertices[after], of_all)
    topology = make_topology(np.asarray(triangles), 8)
    found, pullback = jax.vjp(lambda v: area_sums(v, topology), jnp.asarray(vertices))
    np.testing.assert_allclose(found, sums, atol=1e-5)
    np.testing.assert_allclose(pullback(jnp.asarray(asked))[0], gradient, atol=1e-5)


def test_normals_far_from_the_camera_keep_their_digits(tiny_model):
    """Areas are differences': a face is a metre away and its triangles are of a millimetre."""
    triangles, near = np.asarray(tiny_model.topology.triangles), np.asarray(tiny_model.mean, np.float32) / 10
    far = near + np.float32([100, -50, 1000])
    exact = [reference.vertex_normal(i, far.astype(np.float64), triangles) for i in range(81)]
    np.testing.assert_allclose(vertex_normals(tiny_model.topology, jnp.asarray(far)), exact, atol=1e-5)


def test_normals_of_some_vertices_are_those_of_the_whole_mesh(tiny_model):
    """In the middle, at the border, and where there is no area."""
    topology, rows = tiny_model.topology, np.array([40, 0, 80, 13])
    for vertices in (tiny_model.mean, 0 * tiny_model.mean):
        some = normals_at(jnp.asarray(rows), topology.rings[:, rows], vertices)
        np.testing.assert_allclose(some, vertex_normals(topology, vertices)[rows], atol=1e-6)


def test_one_ring_sums_agree_with_plain_loops(tiny_model):
    values = np.random.default_rng(2).normal(size=(81, 4)).astype(np.float32)
    expected = np.zeros_like(values)
    neighbours = [set() for _ in range(81)]
    for a, b, c in np.asarray(tiny_model.topology.triangles):
        for i, j in ((a, b), (b, c), (c, a)):
            neighbours[i].add(j), neighbours[j].add(i)
    for i, ring in enumerate(neighbours):
        expected[i] = sum(values[j] for j in ring)
    np.testing.assert_allclose(one_ring_sum(jnp.asarray(values), tiny_model.topology), expected, atol=1e-5)
    np.testing.assert_array_equal(neighbour_counts(tiny_model.topology), [len(ring) for ring in neighbours])


def test_the_one_ring_sum_is_its_own_transpose(tiny_model):
    """⟨A x, y⟩ = ⟨x, A y⟩, the right-hand side by the backward pass."""
    x, y = jnp.asarray(np.random.default_rng(3).normal(size=(2, 81, 3)), jnp.float32)
    value, pullback = jax.vjp(lambda v: one_ring_sum(v, tiny_model.topology), x)
    assert float(jnp.vdot(value, y)) == pytest.approx(float(jnp.vdot(x, pullback(y)[0])), rel=1e-4)


def test_edge_differences_name_every_edge_once_and_are_differentiated_by_gathers(tiny_model):
    topology = tiny_model.topology
    sides = {
        frozenset((a, b))
        for t in np.asarray(topology.triangles).tolist()
        for a, b in zip(t, t[1:] + t[:1], strict=True)
    }
    assert (
        len(topology.edges) == len(sides) and {frozenset(edge) for edge in np.asarray(topology.edges).tolist()} == sides
    )
    values = jnp.asarray(np.random.default_rng(4).normal(size=(81, 2)), jnp.float32)
    i, j = np.asarray(topology.edges).T
    found, pullback = jax.vjp(lambda v: edge_differences(v, topology), values)
    np.testing.assert_array_equal(found, np.asarray(values)[i] - np.asarray(values)[j])
    asked, expected = (
        np.random.default_rng(5).normal(size=found.shape).astype(np.float32),
        np.zeros((81, 2), np.float32),
    )
    np.add.at(expected, i, asked)
    np.subtract.at(expected, j, asked)
    np.testing.assert_allclose(pullback(jnp.asarray(asked))[0], expected, atol=1e-5)


def test_no_scatter_in_the_gradient(tiny_model):
    """The point of the tables: neither pass scatters."""
    text = (
        jax.jit(jax.grad(lambda v: jnp.sum(vertex_normals(tiny_model.topology, v) ** 3)))
        .lower(tiny_model.mean)
        .as_text()
    )
    assert "gather" in text and "scatter" not in text


def test_triangles_out_of_range_are_refused():
    with pytest.raises(ValueError, match="outside"):
        make_topology(np.array([[0, 1, 3]]), 3)
