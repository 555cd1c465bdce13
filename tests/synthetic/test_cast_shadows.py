"""Cast shadows against a loop over points, cells and lamps."""

import cv2
import numpy as np
import pytest

from fml_jax.synthetic.cast_shadows import _AROUND, Edge, sample_edge, shadowed
from fml_jax.synthetic.light import Light


def slow_blocked(points, normals, everything, direction):
    """The share of a lamp's light that does not reach points, point by point."""
    first = np.cross(direction, [0.0, 0.0, 1.0])
    first /= np.linalg.norm(first)
    second = np.cross(direction, first)
    axes = np.stack([first, second], axis=1)
    flat = everything @ axes / 4
    corner = flat.min(axis=0) - 3
    highest = np.full(np.ceil(flat.max(axis=0) - corner).astype(int) + 5, -np.inf, np.float32)
    for (row, column), height in zip(np.rint(flat - corner).astype(int), everything @ direction, strict=True):
        highest[row, column] = max(highest[row, column], height)
    highest = np.where(np.isinf(highest), cv2.dilate(highest, np.ones((3, 3), np.uint8)), highest)
    shares = []
    for point, normal in zip(points, normals, strict=True):
        row, column = np.rint(point @ axes / 4 - corner).astype(int)
        slope = -4 * (normal @ axes) / max(normal @ direction, 0.2)
        own = [point @ direction + slope @ step + 7 + 0.5 * np.linalg.norm(slope) for step in _AROUND]
        hits = [highest[row + i, column + j] > height for (i, j), height in zip(_AROUND, own, strict=True)]
        shares.append(np.clip((np.mean(hits) - 0.2) / 0.6, 0, 1))
    return np.array(shares)


@pytest.fixture(scope="module")
def scene():
    """A wall before which a ball hangs, [M, 3], and the wall's points with their normals."""
    rng = np.random.default_rng(0)
    x, y = (each.ravel() for each in np.meshgrid(np.arange(-60.0, 60, 3), np.arange(-60.0, 60, 3)))
    wall = np.stack([x, y, 900 + 3 * np.sin(x / 20)], axis=1) + 0.01 * rng.normal(size=(len(x), 3))
    ball = rng.normal(size=(500, 3))
    ball = [0, 0, 850] + 15 * ball / np.linalg.norm(ball, axis=1, keepdims=True)
    normals = np.stack([-3 / 20 * np.cos(x / 20), 0 * x, -np.ones(len(x))], axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return wall.astype(np.float32), normals.astype(np.float32), np.concatenate([wall, ball]).astype(np.float32)


def test_shadows_are_those_of_the_loop(scene):
    wall, normals, everything = scene
    directions = np.array([[0.5, -0.3, -0.8], [-0.6, 0.1, -0.7]])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    light = Light(np.zeros((9, 3)), directions, np.array([[0.6, 0.5, 0.4], [0.2, 0.3, 0.4]]))
    shade = np.full((len(wall), 3), 1.2, np.float32)
    found = shadowed(wall, normals, shade, everything=everything, light=light, edge=None)
    lost = np.zeros((len(wall), 3))
    for direction, colour in zip(directions, light.colours, strict=True):
        blocked = slow_blocked(wall.astype(float), normals.astype(float), everything.astype(float), direction)
        assert 0.02 < blocked.mean() < 0.3
        lost += (blocked * np.maximum(normals @ direction, 0))[:, None] * colour
    np.testing.assert_allclose(found, np.maximum(shade - lost, 0.4 * shade), atol=1e-5)


def test_the_edge_of_a_large_shadow_is_soft_and_straight(scene):
    wall, normals, _ = scene
    edge = Edge(np.array([1.0, 0.0]), 10.0, 0.8, 4.0)
    expected = 0.8 / (1 + np.exp(-(wall[:, 0] - 10.0) / 4.0))
    np.testing.assert_allclose(edge.at(wall.T), expected, atol=1e-5)
    drawn = [sample_edge(np.random.default_rng(k), wall, normals) for k in range(300)]
    edges = [each for each in drawn if each is not None]
    assert 0.06 < len(edges) / len(drawn) < 0.2
    for each in edges:
        assert 0.25 < (wall[:, :2] @ each.across < each.place).mean() < 0.85
