"""The corrective spaces: their formulas, their start, and what an empty one is."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fml_jax.codes import FinalCode
from fml_jax.face_model.base import geometry, reflectance
from fml_jax.face_model.correctives import (
    Corrections,
    Correctives,
    CorrectiveSpace,
    final_geometry,
    final_reflectance,
    init_correctives,
)
from fml_jax.image_formation.points import form_final_points, form_points, form_points_of

VERTICES, SIZE = 7, 5
KINDS = pytest.mark.parametrize("nonlinearities", [0, 1, 2])


def space(nonlinearities=0, size=SIZE, spread=1.0, vertex_count=VERTICES):
    module = CorrectiveSpace(vertex_count, spread, nonlinearities)
    return module, module.init(jax.random.key(0), jnp.zeros(size))


def shaken(variables):
    """The same tree with every number random, offsets included."""
    leaves, tree = jax.tree.flatten(variables)
    rng = np.random.default_rng(1)
    return jax.tree.unflatten(tree, [jnp.asarray(rng.normal(size=leaf.shape), jnp.float32) for leaf in leaves])


@KINDS
def test_the_formula_is_the_supplements(nonlinearities):
    module, variables = space(nonlinearities)
    variables = shaken(variables)
    delta = np.random.default_rng(2).normal(size=SIZE).astype(np.float32)
    parameters, hidden = variables["params"], delta
    for k in range(nonlinearities):
        layer = parameters[f"layer_{k}"]
        hidden = np.maximum(np.asarray(layer["kernel"]).T @ hidden + np.asarray(layer["bias"]), 0)
    matrix = np.asarray(parameters["modes"]).reshape(SIZE, -1).T
    expected = (matrix @ hidden).reshape(VERTICES, 3) + np.asarray(parameters["offset"])
    assert f"layer_{nonlinearities}" not in parameters
    np.testing.assert_allclose(module.apply(variables, delta), expected, rtol=1e-4, atol=1e-4)


@KINDS
def test_it_starts_at_zero_where_gradients_flow(nonlinearities):
    module, variables = space(nonlinearities)
    np.testing.assert_allclose(module.apply(variables, jnp.zeros(SIZE)), 0, atol=1e-6)
    target = jnp.ones((VERTICES, 3))

    def energy(variables, delta):
        return jnp.sum((module.apply(variables, delta) - target) ** 2)

    of_space, of_delta = jax.grad(energy, argnums=(0, 1))(variables, jnp.zeros(SIZE))
    assert jnp.linalg.norm(of_delta) > 1e-3 and jnp.linalg.norm(of_space["params"]["offset"]) > 1e-3


@KINDS
def test_faces_outside_it_become_its_span(nonlinearities):
    """From the zero start, space and parameters together learn what none of them could say."""
    module, variables = space(nonlinearities)
    targets = jnp.asarray(np.random.default_rng(4).normal(size=(4, VERTICES, 3)), jnp.float32)
    state = variables, jnp.zeros((4, SIZE))

    def energy(state):
        return jnp.mean((module.apply(*state) - targets) ** 2)

    optimizer = optax.adam(0.03)
    moments = optimizer.init(state)
    step = jax.jit(lambda state, moments: optimizer.update(jax.grad(energy)(state), moments))
    before = energy(state)
    for _ in range(300):
        updates, moments = step(state, moments)
        state = optax.apply_updates(state, updates)
    assert energy(state) < 0.3 * before  # the offset alone ends at 0.75
    assert all(
        jnp.abs(now - then).max() > 1e-3 for now, then in zip(*map(jax.tree.leaves, (state[0], variables)), strict=True)
    )


def test_the_spread_is_what_unit_parameters_move():
    module, variables = space(size=200, spread=3.0, vertex_count=100)
    delta = jnp.asarray(np.random.default_rng(3).normal(size=200), jnp.float32)
    assert float(jnp.std(module.apply(variables, delta))) == pytest.approx(3.0, rel=0.2)


def test_no_parameters_are_no_correction():
    module, variables = space(size=0)
    assert not jax.tree.leaves(variables)
    np.testing.assert_array_equal(module.apply(variables, jnp.zeros((2, 0))), np.zeros((2, VERTICES, 3)))


@pytest.mark.parametrize(
    "sizes, names", [((0, 0), set()), ((4, 0), {"geometry"}), ((3, 6), {"geometry", "reflectance"})]
)
def test_geometry_and_reflectance_are_separate(sizes, names):
    module = Correctives(VERTICES)
    parameters = init_correctives(module, sizes, jax.random.key(1))
    assert parameters.keys() == names
    assert all(
        len(parameters[name]["modes"]) == size
        for name, size in zip(("geometry", "reflectance"), sizes, strict=True)
        if size
    )
    moved = module.apply({"params": parameters}, *(jnp.ones(size) for size in sizes))
    assert [bool(jnp.any(part != 0)) for part in moved] == [size > 0 for size in sizes]


def test_a_batch_is_its_rows():
    module, variables = space(1)
    deltas = jnp.asarray(np.random.default_rng(5).normal(size=(3, SIZE)), jnp.float32)
    rows = [module.apply(variables, delta) for delta in deltas]
    np.testing.assert_allclose(module.apply(variables, deltas), rows, atol=1e-5)


@pytest.fixture
def corrected(tiny_model, tiny_code):
    rng = np.random.default_rng(6)
    light = tiny_code.illumination + 0.1
    code = FinalCode(tiny_code, jnp.zeros(SIZE), jnp.zeros(SIZE), light)
    moves = [jnp.asarray(rng.normal(size=(tiny_model.vertex_count, 3)), jnp.float32) for _ in range(2)]
    return code, Corrections(*moves)


def test_the_final_level_is_base_plus_correction(tiny_model, corrected):
    code, corrections = corrected
    base = geometry(tiny_model, code.base.identity, code.base.expression)
    np.testing.assert_allclose(final_geometry(base, corrections) - base, corrections.geometry, atol=1e-4)
    skin = reflectance(tiny_model, code.base.reflectance)
    np.testing.assert_allclose(final_reflectance(skin, corrections) - skin, corrections.reflectance, atol=1e-5)


def test_the_final_level_has_the_base_pose_and_its_own_light(tiny_model, corrected):
    code, corrections = corrected
    points = form_final_points(tiny_model, code, corrections)
    vertices = geometry(tiny_model, code.base.identity, code.base.expression) + corrections.geometry
    skin = reflectance(tiny_model, code.base.reflectance) + corrections.reflectance
    lit = code.base.replace(illumination=code.illumination)
    for part, expected in zip(points, form_points_of(tiny_model.topology, vertices, skin, code=lit), strict=True):
        np.testing.assert_array_equal(part, expected)
    unmoved = form_final_points(tiny_model, code, Corrections(*(0 * part for part in corrections)))
    base = form_points(tiny_model, code.base)
    np.testing.assert_allclose(unmoved.pixels, base.pixels, atol=1e-3)
    assert jnp.abs(unmoved.colours - base.colours).max() > 0.02
