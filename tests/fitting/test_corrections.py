"""Corrections of one photo's reflectance: the energy's minimum, and what they may not touch."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.evaluation.photos import _held_out_colour_error, colour_error
from fml_jax.face_model.topology import make_topology
from fml_jax.fitting import corrections
from fml_jax.fitting.corrections import reflectance_corrections, solve_corrections
from fml_jax.image_formation.points import Points
from fml_jax.reconstruction.refinement import with_code, with_corrections

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
    return np.sum(members * norms) + smoothness * rough + corrections.STABILISATION * np.sum(found**2)


@pytest.mark.parametrize("smoothness", [0.0, 1.0])
def test_corrections_are_where_the_energy_is_least(smoothness, monkeypatch):
    monkeypatch.setattr(corrections, "_ROUNDS", 60)
    monkeypatch.setattr(corrections, "STABILISATION", 0.3)
    topology, gaps, light, members = problem(0)
    solve_corrections.clear_cache()
    found = np.asarray(solve_corrections(topology, gaps, light, members, jnp.float32(smoothness)), np.float64)
    solve_corrections.clear_cache()
    energy = lambda at: plain_energy(topology, gaps, light, members, smoothness, at)
    assert energy(found) < 0.95 * energy(np.zeros_like(found))
    slope = lambda at, way: (energy(at + 1e-4 * way) - energy(at - 1e-4 * way)) / 2e-4
    rng = np.random.default_rng(1)
    for way in [found, *rng.normal(size=(20, *found.shape))]:
        assert abs(slope(found, way)) < 0.01 * abs(slope(found + 0.1 * way, way))
        assert all(energy(found) < energy(found + step * way) for step in (0.1, 0.01))


def test_an_unseen_vertex_takes_after_its_neighbours():
    topology, gaps, light, members = problem(2)
    centre, around = SIDE**2 // 2, np.asarray(topology.neighbours[SIDE**2 // 2])
    around = around[around < SIDE**2]
    gaps[:], members[:] = 0.2, 1.0
    members[centre] = 0.0
    found = np.asarray(solve_corrections(topology, gaps, light, members, jnp.float32(1.0)))
    assert np.all(found[centre] > 0.3 * found[around].mean(axis=0)) and np.all(
        found[centre] < found[around].max(axis=0)
    )
    nothing = solve_corrections(topology, gaps, light, 0 * members, jnp.float32(1.0))
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


def test_corrections_explain_the_photo_and_leave_the_eyes(face):
    corrected = with_corrections(face)
    assert colour_error(corrected) < 0.7 * colour_error(face)
    eyes = np.asarray(face.model.regions["eyes"], bool)
    outside = ~np.asarray(face.model.regions["face"], bool)
    assert np.all(corrected.reflectance_corrections[eyes | outside] == 0)
    assert np.abs(corrected.reflectance_corrections).max() > 0.02
    np.testing.assert_allclose(corrected.reflectance, face.reflectance + corrected.reflectance_corrections, atol=1e-6)
    np.testing.assert_array_equal(corrected.vertices, face.vertices)


def test_corrections_do_not_pile_up_and_come_off(face):
    once = with_corrections(face)
    twice = with_corrections(once)
    np.testing.assert_allclose(twice.reflectance, once.reflectance, atol=1e-5)
    bare = with_code(once, once.code)
    np.testing.assert_allclose(bare.reflectance, face.reflectance, atol=1e-5)
    assert not bare.reflectance_corrections.any()


def test_vertices_that_are_held_out_are_not_looked_at(face, monkeypatch):
    used = np.random.default_rng(0).random(len(face.vertices)) < 0.5
    found, own = reflectance_corrections(face, used), corrections.seen_points

    def repainted(face):
        points, seen = own(face)
        return points, np.where(used[:, None], seen, np.float32(7.0))

    monkeypatch.setattr(corrections, "seen_points", repainted)
    np.testing.assert_array_equal(reflectance_corrections(face, used), found)
    assert np.abs(reflectance_corrections(face) - found).max() > 0.02
    np.testing.assert_array_equal(reflectance_corrections(face, np.zeros(len(used), bool)), 0)


def test_held_out_vertices_lie_between_both_levels(face):
    errors = colour_error(with_corrections(face)), _held_out_colour_error(face), colour_error(face)
    assert errors[0] < 0.9 * errors[1] and errors[1] < 0.95 * errors[2]


def test_what_lies_beyond_the_photo_is_not_looked_at(face):
    middle = int(face.landmarks68[:, 0].mean())
    cut = replace(face, photo=face.photo[:, :middle])
    beyond = face.projected[:, 0] > middle + 20
    assert np.abs(reflectance_corrections(face)[beyond]).max() > 0.02
    assert np.abs(reflectance_corrections(cut)[beyond]).max() < 0.01


def test_models_without_eyes_or_face(face):
    regions = face.model.regions
    eyeless = replace(face, model=face.model.replace(regions={k: v for k, v in regions.items() if k != "eyes"}))
    assert np.any(reflectance_corrections(eyeless)[np.asarray(regions["eyes"], bool)])
    with pytest.raises(ValueError, match="no region 'face'"):
        reflectance_corrections(replace(face, model=face.model.replace(regions={})))
