"""Corrections of one photo's reflectance: the energy's minimum, and what they may not touch."""

import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.face_model.topology import make_topology
from fml_jax.fitting import corrections
from fml_jax.fitting.corrections import solve_corrections
from fml_jax.image_formation.points import Points

SIDE = 5
GRID = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
TRIANGLES = np.concatenate(
    [
        np.stack([GRID[:-1, :-1], GRID[1:, :-1], GRID[:-1, 1:]], axis=-1).reshape(-1, 3),
        np.stack([GRID[1:, :-1], GRID[1:, 1:], GRID[:-1, 1:]], axis=-1).reshape(-1, 3),
    ]
)


def problem(seed):
    rng = np.random.default_rng(seed)
    gaps, light = rng.normal(0, 0.2, (SIDE**2, 3)), rng.uniform(0.3, 1.5, (SIDE**2, 3))
    members = rng.uniform(0, 1, SIDE**2) * (rng.random(SIDE**2) < 0.7)
    return make_topology(TRIANGLES, SIDE**2), *(array.astype(np.float32) for array in (gaps, light, members))


def plain_energy(topology, gaps, light, members, smoothness, found):
    """As the docstring has it, the norm a square where it is small."""
    small = corrections._SMALLEST_RESIDUAL
    distance = np.linalg.norm(gaps - found * light, axis=1)
    norms = np.where(distance > small, distance, distance**2 / (2 * small) + small / 2)
    rough = sum(np.sum((found[i] - found[j]) ** 2) for i, j in np.asarray(topology.edges))
    bright = np.average(np.mean(light.astype(float) ** 2, axis=1), weights=members)
    return np.sum(members * norms) + bright * (smoothness * rough + corrections.STABILISATION * np.sum(found**2))


@pytest.mark.parametrize("smoothness", [0.0, 1.0])
def test_corrections_are_where_the_energy_is_least(smoothness, monkeypatch):
    monkeypatch.setattr(corrections, "_ROUNDS", 60)
    monkeypatch.setattr(corrections, "STABILISATION", 0.3)
    topology, gaps, light, members = problem(0)
    solve_corrections.clear_cache()
    found = np.asarray(
        solve_corrections(topology, gaps, light, members=members, smoothness=jnp.float32(smoothness)), np.float64
    )
    solve_corrections.clear_cache()

    def energy(at):
        return plain_energy(topology, gaps, light, members, smoothness, at)

    def slope(at, way):
        return (energy(at + 1e-4 * way) - energy(at - 1e-4 * way)) / 2e-4

    assert energy(found) < 0.95 * energy(np.zeros_like(found))
    rng = np.random.default_rng(1)
    for way in [found, *rng.normal(size=(20, *found.shape))]:
        assert abs(slope(found, way)) < 0.01 * abs(slope(found + 0.1 * way, way))
        assert all(energy(found) < energy(found + step * way) for step in (0.1, 0.01))


def test_brighter_skin_under_weaker_light_is_corrected_to_the_same_colours():
    topology, gaps, light, members = problem(3)
    found = solve_corrections(topology, gaps, light, members=members, smoothness=jnp.float32(1.0))
    other = solve_corrections(topology, gaps, light / 2, members=members, smoothness=jnp.float32(1.0))
    np.testing.assert_allclose(other, 2 * found, rtol=1e-3, atol=1e-4)


def test_an_unseen_vertex_takes_after_its_neighbours():
    topology, gaps, light, members = problem(2)
    centre, around = SIDE**2 // 2, np.asarray(topology.neighbours[SIDE**2 // 2])
    around = around[around < SIDE**2]
    gaps[:], members[:] = 0.2, 1.0
    members[centre] = 0.0
    found = np.asarray(solve_corrections(topology, gaps, light, members=members, smoothness=jnp.float32(1.0)))
    assert np.all(found[centre] > 0.3 * found[around].mean(axis=0)) and np.all(
        found[centre] < found[around].max(axis=0)
    )
    nothing = solve_corrections(topology, gaps, light, members=0 * members, smoothness=jnp.float32(1.0))
    np.testing.assert_array_equal(nothing, 0)


def test_what_lies_behind_something_is_hidden():
    x, y = np.meshgrid(np.linspace(60, 180, SIDE), np.linspace(60, 180, SIDE))
    sheet = np.stack([x.ravel(), y.ravel()], axis=-1)
    pixels = np.concatenate(
        [sheet, 0.5 * (sheet + 120), sheet[:1] - 50]
    )  # a sheet, a smaller one behind its middle, a lone vertex
    depth = np.concatenate([np.full(SIDE**2, 900.0), np.full(SIDE**2, 930.0), [930.0]])
    positions = np.stack([0 * depth, 0 * depth, depth], axis=-1)
    points = Points(positions, pixels, positions, depth > 0, positions, positions)
    triangles = np.concatenate([TRIANGLES, TRIANGLES + SIDE**2])
    np.testing.assert_array_equal(
        corrections._hidden(points, triangles), (depth > 900) & (np.arange(len(depth)) < 2 * SIDE**2)
    )
