"""One reflectance under several lights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.face_model.base import geometry
from fml_jax.fitting.colours import ColourSolver
from fml_jax.fitting.shared_colours import solve_shared_colours
from fml_jax.image_formation.points import form_points
from tests.tiny_face import random_code


@pytest.fixture(scope="module")
def solver(tiny_model):
    rows = jnp.arange(tiny_model.vertex_count)
    return ColourSolver(
        rows=rows,
        rings=tiny_model.topology.rings,
        weights=jnp.ones(len(rows)),
        mean=tiny_model.reflectance_mean,
        modes=tiny_model.reflectance,
        prior=1e-6 * jnp.eye(3),
    )


@pytest.fixture(scope="module")
def photos(tiny_model):
    """Codes of one person under three lights, and crops that have their colours at their points."""
    codes = [random_code(tiny_model, np.random.default_rng(k)) for k in range(3)]
    codes = [code.replace(reflectance=codes[0].reflectance) for code in codes]
    crops = np.full((3, 240, 240, 3), 0.5, np.float32)
    for crop, code in zip(crops, codes, strict=True):
        points = jax.jit(form_points)(tiny_model, code)
        columns, rows = np.clip(np.asarray(points.pixels).round().astype(int), 3, 236).T
        for dx in range(-3, 4):
            for dy in range(-3, 4):
                crop[rows + dy, columns + dx] = points.colours
    return jax.tree.map(lambda *parts: jnp.stack(parts), *codes), jnp.asarray(crops)


solved = jax.jit(solve_shared_colours)  # one program; without `jit` it would be some hundred


def solve(tiny_model, solver, photos, used):
    codes, crops = photos
    start = codes.replace(reflectance=codes.reflectance + np.array([[1.0], [-1.0], [0.5]], np.float32))
    vertices = jax.jit(jax.vmap(lambda code: geometry(tiny_model, code.identity, code.expression)))(codes)
    return solved(solver, start, vertices, crops=crops, used=jnp.asarray(used))


def test_all_photos_get_one_reflectance_which_is_the_true_one(tiny_model, solver, photos):
    found = solve(tiny_model, solver, photos, [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(found.reflectance[0], found.reflectance[2])
    truth = photos[0].reflectance[0]
    begun = np.linalg.norm(truth - (truth + 0.5 / 3))
    assert np.linalg.norm(found.reflectance[0] - truth) < max(begun, 0.3)


def test_a_photo_of_weight_0_does_not_count(tiny_model, solver, photos):
    codes, crops = photos
    black = codes, crops.at[2].set(0.0)
    one, other = (solve(tiny_model, solver, each, [1.0, 1.0, 0.0]) for each in (photos, black))
    np.testing.assert_allclose(one.reflectance, other.reflectance, atol=1e-5)
    all_of_them = solve(tiny_model, solver, black, [1.0, 1.0, 1.0])
    assert np.abs(all_of_them.reflectance - one.reflectance).max() > 0.05
