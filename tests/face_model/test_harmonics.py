"""Manifold harmonics: known ones of a sphere, and the modes that are made of them."""

import numpy as np
from scipy.spatial import ConvexHull

from fml_jax.face_model import load_face_model
from fml_jax.face_model.harmonics import harmonic_modes, manifold_harmonics


def sphere(count=1500, radius=50.0):
    k = np.arange(count) + 0.5  # a Fibonacci lattice
    polar, azimuth = np.arccos(1 - 2 * k / count), np.pi * (1 + 5**0.5) * k
    points = np.stack([np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)], axis=1)
    return radius * points, ConvexHull(points).simplices


def test_on_a_sphere_they_are_the_spherical_harmonics():
    vertices, triangles = sphere()
    found = manifold_harmonics(vertices, triangles, 9)
    np.testing.assert_allclose(np.abs(found[0]), 1, atol=1e-6)
    # Of the first degree: the three coordinates. Of the second: products of them.
    x, y, z = (vertices / 50.0).T
    for harmonics, known in ((found[1:4], [x, y, z]), (found[4:9], [x * y, y * z, z * x, x**2 - y**2, 3 * z**2 - 1])):
        rest = np.stack(known) - (np.stack(known) @ np.linalg.pinv(harmonics)) @ harmonics
        assert np.abs(rest).max() < 0.02


def test_smooth_ones_come_first_and_repeat():
    model = load_face_model(detail="face")
    vertices, triangles = np.asarray(model.mean), np.asarray(model.topology.triangles)
    found = manifold_harmonics(vertices, triangles, 40)
    edges = found[:, triangles[:, 0]] - found[:, triangles[:, 1]]
    roughness = (edges**2).mean(axis=1)
    assert roughness[30:].min() > 3 * roughness[:10].max()
    np.testing.assert_array_equal(found, manifold_harmonics(vertices, triangles, 40))


def test_modes_move_vertices_as_far_as_is_asked_for():
    vertices, triangles = sphere(400)
    modes = harmonic_modes(vertices, triangles, 100, spread=2.0)
    assert modes.shape == (100, 1200)
    rng = np.random.default_rng(0)
    moved = (rng.normal(size=(300, 100)) @ modes).reshape(300, 400, 3)
    np.testing.assert_allclose(np.sqrt((moved**2).mean()), 2.0, rtol=0.03)
