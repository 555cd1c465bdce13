"""Nearest points of surfaces."""

import numpy as np
import pytest
import trimesh

from fml_jax.face_model.surfaces import at, closest_on_surface


def triangles_of(kind, rng):
    """Twelve triangles [12, 3, 3]."""
    corners = rng.normal(size=(12, 3, 3))
    if kind == "without area":
        corners[:, 2] = (corners[:, 0] + corners[:, 1]) / 2
    if kind == "with two corners in one place":
        corners[:, 1] = corners[:, 0]
    return corners


@pytest.mark.parametrize("kind", ["of any shape", "without area", "with two corners in one place"])
def test_the_nearest_points_of_triangles_are_those_of_trimesh(kind):
    rng = np.random.default_rng(0)
    corners, points = triangles_of(kind, rng), 2 * rng.normal(size=(300, 3))
    vertices, triangles = corners.reshape(-1, 3), np.arange(36).reshape(12, 3)
    found, weights = closest_on_surface(points, vertices, triangles)
    assert weights.min() >= 0 and np.allclose(weights.sum(-1), 1)
    pairs = np.repeat(points, 12, axis=0), np.tile(corners, (300, 1, 1))
    nearest = trimesh.triangles.closest_point(pairs[1], pairs[0]).reshape(300, 12, 3)
    least = np.linalg.norm(nearest - points[:, None], axis=-1).min(1)
    np.testing.assert_allclose(np.linalg.norm(at(vertices, found, weights) - points, axis=-1), least, atol=1e-9)
