"""The vectorised raster against a loop over pixels and triangles."""

import numpy as np
import pytest

from fml_jax.image_formation.raster import interpolate, rasterize, seen_triangles, shares_at_hits


def slow_raster(pixels, depth, triangles, height, width):
    triangle_index = np.full((height, width), -1)
    nearest = np.full((height, width), np.inf)
    barycentric = np.zeros((height, width, 3))
    for y in range(height):
        for x in range(width):
            for k, corners in enumerate(triangles):
                system = np.vstack([pixels[corners].T, np.ones(3)])
                if abs(np.linalg.det(system)) < 1e-12:
                    continue
                weights = np.linalg.solve(system, [x, y, 1])
                if weights.min() >= 0 and weights @ depth[corners] < nearest[y, x]:
                    nearest[y, x] = weights @ depth[corners]
                    triangle_index[y, x] = k
                    barycentric[y, x] = weights
    return triangle_index, barycentric


def test_agrees_with_the_loop():
    """Small, big, thin, flat, turned-over and half-outside triangles that pierce each other."""
    rng = np.random.default_rng(0)
    small = rng.uniform(0, [20, 14], (30, 1, 2)) + rng.normal(0, 1.5, (30, 3, 2))
    big = rng.uniform(-25, 45, (8, 3, 2))
    thin = rng.uniform(0, [20, 14], (6, 1, 2)) + np.array([[0, 0], [9, 7], [9.05, 7]])
    flat = np.array([[[1.0, 2.0], [5.0, 2.0], [9.0, 2.0]]])
    corners = np.concatenate([small, big, thin, flat])
    pixels, triangles = corners.reshape(-1, 2), np.arange(3 * len(corners)).reshape(-1, 3)
    depth = rng.uniform(5, 9, len(pixels))
    index, barycentric = rasterize(pixels, depth, triangles, height=15, width=21)
    slow_index, slow_barycentric = slow_raster(pixels, depth, triangles, 15, 21)
    assert len(np.unique(index)) > 10
    np.testing.assert_array_equal(index, slow_index)
    np.testing.assert_allclose(barycentric, slow_barycentric, atol=1e-6)


def test_a_grid_has_no_gaps():
    """Vertices on pixel centres: every pixel lies on an edge or a corner, none is lost."""
    y, x = np.mgrid[0:7, 0:9]
    pixels = np.stack([x.ravel(), y.ravel()], 1) + 1e-7 * np.random.default_rng(1).normal(size=(63, 2))
    pixels[:, 0] = np.where(x.ravel() == 0, 0, np.where(x.ravel() == 8, 8, pixels[:, 0]))
    pixels[:, 1] = np.where(y.ravel() == 0, 0, np.where(y.ravel() == 6, 6, pixels[:, 1]))
    k = np.arange(63).reshape(7, 9)
    a, b, c, d = (part.ravel() for part in (k[:-1, :-1], k[1:, :-1], k[1:, 1:], k[:-1, 1:]))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    index, barycentric = rasterize(pixels, np.ones(63), triangles, height=7, width=9)
    assert (index >= 0).all()
    np.testing.assert_allclose(interpolate(pixels, triangles, (index, barycentric)), np.stack([x, y], 2), atol=1e-5)


def test_nearest_of_two_planes_wins():
    pixels = np.tile([[-9.0, -9.0], [30.0, -9.0], [-9.0, 30.0]], (2, 1))
    triangles = np.array([[0, 1, 2], [3, 5, 4]])
    index, _ = rasterize(pixels, np.array([2.0, 2, 2, 1, 1, 1]), triangles, height=4, width=4)
    assert (index == 1).all()
    index, _ = rasterize(pixels, np.ones(6), triangles, height=4, width=4)
    assert (index == 0).all()


@pytest.mark.parametrize(
    "corner, depth", [([np.nan, 1.0], 1.0), ([np.inf, 1.0], 1.0), ([1.0, 1.0], np.nan), ([1.0, 1.0], -1.0)]
)
def test_corners_that_cannot_be_drawn(corner, depth):
    pixels = np.array([[-9.0, -9.0], [30.0, -9.0], corner])
    index, barycentric = rasterize(pixels, np.array([1.0, 1.0, depth]), np.array([[0, 1, 2]]), height=4, width=5)
    assert (index == -1).all() and (barycentric == 0).all()


def test_empty_mesh_and_mesh_outside():
    nothing, _ = rasterize(np.zeros((0, 2)), np.zeros(0), np.zeros((0, 3), int), height=3, width=4)
    outside, _ = rasterize(
        np.array([[50.0, 50], [60, 50], [50, 1e12]]), np.ones(3), np.array([[0, 1, 2]]), height=3, width=4
    )
    assert nothing.shape == outside.shape == (3, 4)
    assert (nothing == -1).all() and (outside == -1).all()


def test_interpolation_is_affine_and_zero_outside():
    pixels = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    triangles = np.array([[0, 1, 2]])
    index, barycentric = rasterize(pixels, np.ones(3), triangles, height=8, width=8)
    attributes = np.array([[1.0], [3.0], [5.0]])  # 1 + 0.2 x + 0.4 y
    image = interpolate(attributes, triangles, (index, barycentric))[:, :, 0]
    y, x = np.mgrid[:8, :8]
    np.testing.assert_allclose(image, np.where(x + y <= 10, 1 + 0.2 * x + 0.4 * y, 0), atol=1e-5)


def test_front_sides_alone_show_the_same_of_a_closed_surface():
    """A tetrahedron's sides, whose corners are counterclockwise from outside; turned over, only its far sides stay."""
    positions = np.array([[0.0, 0, -3], [6, 1, 2], [-5, 4, 3], [-1, -6, 1]])
    triangles = np.array([[0, 2, 1], [0, 3, 2], [0, 1, 3], [1, 2, 3]])
    pixels, depth = positions[:, :2] + 7, positions[:, 2] + 10

    def seen(corners, **options):
        found = seen_triangles(pixels, depth, corners, height=15, width=15, **options)
        return np.append(found.triangles, -1)[found.number]

    both = seen(triangles)
    assert set(np.unique(both)) == {-1, 0, 1, 2}
    np.testing.assert_array_equal(seen(triangles, front_only=True), both)
    assert set(np.unique(seen(triangles[:, ::-1], front_only=True))) == {-1, 3}


def test_shares_at_hits_interpolate():
    rng = np.random.default_rng(2)
    pixels, depth = rng.uniform(-5, 30, (60, 2)), rng.uniform(5, 9, 60)
    triangles = rng.permuted(np.tile(np.arange(60), (3, 1)), axis=1).T
    attributes = rng.normal(size=(60, 4)).astype(np.float32)
    raster = rasterize(pixels, depth, triangles, height=19, width=23)
    shares = shares_at_hits(seen_triangles(pixels, depth, triangles, height=19, width=23), triangles, 60)
    image = interpolate(attributes, triangles, raster)
    np.testing.assert_allclose(shares @ attributes, image[raster[0] >= 0], atol=1e-6)
    corners = np.einsum("hwkc,hwk->hwc", attributes[triangles[raster[0]]], raster[1])
    np.testing.assert_allclose(image, np.where(raster[0][:, :, None] >= 0, corners, 0), atol=1e-6)
