"""Catmull–Clark: weights, counts, orientation, borders."""

import numpy as np
import pytest

from fml_jax.face_model.subdivision import catmull_clark, subdivide_uv, triangulate


def grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A flat square of side × side vertices, counter-clockwise quads."""
    y, x = np.mgrid[:side, :side]
    number = np.arange(side * side).reshape(side, side)
    corners = (number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1])
    return np.stack([x, y, 0 * x], -1).reshape(-1, 3).astype(float), np.stack([c.ravel() for c in corners], -1)


CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
CUBE_QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])


def signed_areas(vertices, quads):
    a, b, c = vertices[triangulate(quads)][..., :2].transpose(1, 0, 2)
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2


def signed_volume(vertices, quads):
    a, b, c = vertices[triangulate(quads)].transpose(1, 0, 2)
    return np.einsum("tc,tc->", a, np.cross(b, c)) / 6


@pytest.mark.parametrize(("vertices", "quads"), [grid(5), (CUBE, CUBE_QUADS)], ids=["grid", "cube"])
def test_weights_sum_to_one_and_counts_are_euler(vertices, quads):
    operator, refined = catmull_clark(quads, len(vertices))
    edges = {tuple(sorted(pair)) for quad in quads for pair in zip(quad, np.roll(quad, -1), strict=True)}
    assert operator.shape == (len(vertices) + len(edges) + len(quads), len(vertices))
    assert refined.shape == (4 * len(quads), 4)
    np.testing.assert_allclose(np.asarray(operator.sum(1)).ravel(), 1, atol=1e-12)
    assert operator.data.min() > 0


def test_flat_grid_stays_flat_and_keeps_its_orientation_and_inside():
    vertices, quads = grid(6)
    operator, refined = catmull_clark(quads, len(vertices))
    moved = operator @ vertices
    assert np.abs(moved[:, 2]).max() == 0
    assert signed_areas(moved, refined).min() > 0
    inner = ((vertices[:, :2] > 0) & (vertices[:, :2] < 5)).all(1)
    np.testing.assert_allclose(moved[: len(vertices)][inner], vertices[inner])


def test_refined_quads_lie_in_their_parent_and_start_at_its_corners():
    vertices, quads = grid(4)
    operator, refined = catmull_clark(quads, len(vertices))
    assert np.array_equal(refined[:, 0], quads.ravel())
    centres = (operator @ vertices)[refined].mean(1)
    low, high = vertices[quads].min(1).repeat(4, 0), vertices[quads].max(1).repeat(4, 0)
    assert ((centres >= low) & (centres <= high))[:, :2].all()


def test_edges_are_numbered_by_first_appearance():
    vertices, quads = grid(3)
    operator, _ = catmull_clark(quads, len(vertices))
    edges = []
    for quad in quads:
        edges += [
            pair for pair in (tuple(sorted(p)) for p in zip(quad, np.roll(quad, -1), strict=True)) if pair not in edges
        ]
    first_boundary_edge = operator[len(vertices)].toarray().ravel()
    assert edges[0] == (0, 1) and np.flatnonzero(first_boundary_edge).tolist() == [0, 1]
    for k, (a, b) in enumerate(edges):
        assert {a, b} <= set(operator[len(vertices) + k].indices)


def test_cube_shrinks_to_a_ball_with_known_points():
    """A cube's corner goes to 5/9, by the rule (Q + 2R + S(n − 3)) / n with n = 3; an edge point to 3/4."""
    operator, quads = catmull_clark(CUBE_QUADS, len(CUBE))
    refined = operator @ CUBE
    np.testing.assert_allclose(np.abs(refined[:8]), 5 / 9, atol=1e-12)
    assert np.allclose(np.sort(np.abs(refined[8:20]), axis=1), [0, 0.75, 0.75])
    assert np.allclose(np.sort(np.abs(refined[20:]), axis=1), [0, 0, 1])
    volume = signed_volume(CUBE, CUBE_QUADS)
    assert 0.3 < signed_volume(refined, quads) / volume < 1


def test_border_is_a_curve_of_its_own():
    """Crease rule: the border depends on border vertices alone, by 1/8, 3/4, 1/8."""
    vertices, quads = grid(5)
    operator, _ = catmull_clark(quads, len(vertices))
    row = operator[2].toarray().ravel()
    assert row[[1, 2, 3]].tolist() == [0.125, 0.75, 0.125] and np.count_nonzero(row) == 3


def test_uv_follow_the_quads():
    vertices, quads = grid(4)
    uv, uv_quads = subdivide_uv(vertices[:, :2], quads)
    operator, refined = catmull_clark(quads, len(vertices))
    assert uv_quads.shape == refined.shape
    linear = uv[uv_quads].mean(1)
    assert np.abs(linear - (operator @ vertices)[refined].mean(1)[:, :2]).max() < 0.3
    np.testing.assert_allclose(uv[uv_quads[0]], [[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]])


def test_triangles_come_in_pairs():
    assert triangulate(np.array([[4, 5, 6, 7]])).tolist() == [[4, 5, 6], [4, 6, 7]]
