"""Eq. 12–15 against their formulas in plain loops, at their kinks, and: do they do what they are for?"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fml_jax.face_model.topology import make_topology
from fml_jax.losses.regularisers import (
    chromaticity,
    chromaticity_weights,
    constancy_energy,
    draw_skin_pairs,
    smoothness_energy,
    sparsity_energy,
    stabilisation_energy,
)
from fml_jax.ops.sampling import sample_bilinear


@pytest.fixture(scope="module")
def topology(tiny_model):
    return tiny_model.topology


@pytest.fixture(scope="module")
def rings(tiny_model):
    """N_i as sets, from the triangles alone."""
    found = [set() for _ in range(tiny_model.vertex_count)]
    for triangle in np.asarray(tiny_model.topology.triangles):
        for vertex in triangle:
            found[vertex] |= set(triangle.tolist()) - {int(vertex)}
    return found


def noise(count, seed=0, scale=1.0):
    return jnp.asarray(scale * np.random.default_rng(seed).normal(size=(count, 3)), jnp.float32)


def descend(energy, values, steps=200, rate=0.02):
    optimizer = optax.adam(rate)

    def step(state, _):
        values, moments = state
        updates, moments = optimizer.update(jax.grad(energy)(values), moments)
        return (optax.apply_updates(values, updates), moments), None

    @jax.jit
    def descended(values):
        return jax.lax.scan(step, (values, optimizer.init(values)), length=steps)[0][0]

    return descended(values)


def value_and_gradient(energy, *arguments):
    return jax.jit(jax.value_and_grad(energy))(*arguments)


def numerical_gradient(energy, values, step=1e-3):
    """Central differences in every coordinate, by float64 sums of a NumPy energy."""
    values = np.asarray(values, np.float64)
    gradient = np.zeros_like(values)
    for index in np.ndindex(values.shape):
        moved = values.copy()
        moved[index] += step
        above = energy(moved)
        moved[index] -= 2 * step
        gradient[index] = (above - energy(moved)) / (2 * step)
    return gradient


# Equation 12


def test_smoothness_is_equation_12(topology, rings):
    moves = noise(len(rings))
    moves = np.asarray(moves)
    laplacians = [np.mean([moves[i] - moves[j] for j in ring], axis=0) for i, ring in enumerate(rings)]
    expected = np.mean([np.sum(row**2) for row in laplacians])
    assert float(smoothness_energy(moves, topology)) == pytest.approx(expected, rel=1e-5)


def test_smoothness_ignores_vertices_without_neighbours():
    lonely = make_topology(np.array([[0, 1, 2]]), 4)
    moves = jnp.zeros((4, 3)).at[3].set(5.0)
    value, gradient = value_and_gradient(smoothness_energy, moves, lonely)
    assert value == 0 and not gradient.any()


def test_smoothness_flattens_a_spike_and_leaves_a_shift(topology, rings):
    @jax.jit
    def energy(moves):
        return smoothness_energy(moves, topology)

    assert energy(jnp.full((len(rings), 3), 4.0)) < 1e-8
    spike = jnp.zeros((len(rings), 3)).at[40, 2].set(3.0)
    found = descend(energy, spike)
    assert energy(found) < 0.01 * energy(spike)
    assert jnp.ptp(found[:, 2]) < 1.0


# Equation 13


seen_weights = jax.jit(chromaticity_weights)


def colours_seen(count, seed=2, spread=0.1):
    return jnp.asarray(0.5 + spread * np.random.default_rng(seed).uniform(-1, 1, (count, 3)), jnp.float32)


def test_chromaticity_is_colour_without_brightness():
    colour = jnp.array([0.6, 0.3, 0.1])
    np.testing.assert_allclose(chromaticity(0.25 * colour), chromaticity(colour), rtol=1e-6)
    np.testing.assert_allclose(chromaticity(colour), [0.6, 0.3, 0.1], rtol=1e-6)
    np.testing.assert_array_equal(chromaticity(jnp.zeros(3)), np.zeros(3))


def test_weights_are_those_of_equation_13(topology, rings):
    seen = np.asarray(colours_seen(len(rings)))
    weights = np.asarray(seen_weights(seen, topology))
    assert len(weights) == sum(len(ring) for ring in rings) / 2
    for (i, j), weight in zip(np.asarray(topology.edges), weights, strict=True):
        difference = seen[i] / seen[i].sum() - seen[j] / seen[j].sum()
        assert weight == pytest.approx(np.exp(-50 * np.linalg.norm(difference)), rel=1e-3, abs=1e-6)
    assert 0.01 < weights.mean() < 0.99


def test_weights_are_constants(topology, rings):
    def total(seen):
        return chromaticity_weights(seen, topology).sum()

    assert not jax.jit(jax.grad(total))(colours_seen(len(rings))).any()


def test_under_the_mask_the_picture_tells_nothing(topology, rings):
    seen, known = colours_seen(len(rings)), jnp.arange(len(rings)) % 2
    weights = np.asarray(seen_weights(seen, topology, known.astype(jnp.float32)))
    plain = np.asarray(seen_weights(seen, topology))
    both = np.asarray(known)[np.asarray(topology.edges)].all(1)
    assert both.any() and (plain < 0.9).any()
    np.testing.assert_allclose(weights, np.where(both, plain, 1), atol=1e-6)


def local_sparsity(skin, seen, rings):
    def term(i, j):
        difference = seen[i] / seen[i].sum() - seen[j] / seen[j].sum()
        return np.exp(-50 * np.linalg.norm(difference)) * np.linalg.norm(skin[i] - skin[j]) ** 0.9

    return sum(term(i, j) for i, ring in enumerate(rings) for j in ring) / len(skin)


def test_sparsity_and_its_gradient_are_equation_13(topology, rings):
    skin, seen = 0.5 + noise(len(rings), 4, 0.1), colours_seen(len(rings))

    def energy(skin):
        return sparsity_energy(skin, chromaticity_weights(seen, topology), topology)

    value, gradient = value_and_gradient(energy, skin)
    seen = np.asarray(seen, np.float64)
    assert float(value) == pytest.approx(local_sparsity(np.asarray(skin), seen, rings), rel=1e-3)
    rows = slice(36, 42)  # differences for all vertices would take long

    def of_rows(part):
        return local_sparsity(np.concatenate([np.asarray(skin)[:36], part, np.asarray(skin)[42:]]), seen, rings)

    np.testing.assert_allclose(gradient[rows], numerical_gradient(of_rows, skin[rows]), rtol=0.02, atol=1e-4)


def test_sparsity_has_a_finite_gradient_where_all_is_equal(topology, rings):
    weights = jnp.ones(len(topology.edges))
    value, gradient = value_and_gradient(sparsity_energy, jnp.full((len(rings), 3), 0.4), weights, topology)
    assert value < 0.01 and np.isfinite(gradient).all() and jnp.abs(gradient).max() < 1e-3


def test_sparsity_takes_noise_away_and_keeps_an_edge_that_the_picture_shows(topology, rings):
    """Two halves of different hue in the picture, reflectance noisy in both."""
    side = jnp.arange(len(rings)) % 9 < 4
    skin = jnp.where(side[:, None], jnp.array([0.7, 0.4, 0.3]), jnp.array([0.3, 0.4, 0.6]))
    pixels = jnp.stack([jnp.where(side, 60.0, 180.0), jnp.full(len(rings), 120.0)], axis=1)
    image = jnp.full((240, 240, 3), jnp.array([0.7, 0.4, 0.3])).at[:, 120:].set(jnp.array([0.3, 0.4, 0.6]))
    weights = jax.jit(lambda: chromaticity_weights(sample_bilinear(image, pixels), topology))()
    noisy = skin + noise(len(rings), 6, 0.03)

    def energy(values):
        return sparsity_energy(values, weights, topology)

    found = descend(energy, noisy, steps=300, rate=0.002)
    for half in (side, ~side):
        assert jnp.std(found[half], axis=0).max() < 0.35 * jnp.std(noisy[half], axis=0).min()
    assert jnp.linalg.norm(found[side].mean(0) - found[~side].mean(0)) > 0.45


# Equation 14


def half_skin(count):
    return jnp.arange(count) % 2 == 1


def test_pairs_lie_in_the_mask_and_are_reproducible():
    skin = half_skin(81)
    drawn = jax.jit(lambda key: draw_skin_pairs(key, skin).partners())
    first = drawn(jax.random.key(1))
    members = np.flatnonzero(skin)
    partners = np.asarray(first)[members]
    assert partners.shape == (40, 6) and np.isin(partners, members).all() and (partners != members[:, None]).all()
    np.testing.assert_array_equal(first, drawn(jax.random.key(1)))
    assert (np.asarray(drawn(jax.random.key(2)))[members] != partners).mean() > 0.8


def test_partners_are_uniform_over_the_mask():
    skin = half_skin(20)
    keys = jax.random.split(jax.random.key(4), 3000)
    partners = jax.jit(jax.vmap(lambda key: draw_skin_pairs(key, skin).partners()[3]))(keys)
    counts = np.bincount(np.asarray(partners).ravel(), minlength=20)
    assert counts[3] == 0 and counts[::2].sum() == 0
    np.testing.assert_allclose(counts[[1, 5, 7, 9, 11, 13, 15, 17, 19]], 2000, rtol=0.15)


def test_constancy_and_its_gradient_are_equation_14():
    skin, colours = half_skin(24), noise(24, 7, 0.2)
    pairs = jax.jit(draw_skin_pairs)(jax.random.key(5), skin)
    partners = np.asarray(pairs.partners())

    def energy(values):
        members = np.flatnonzero(skin)
        total = sum(np.sum((values[i] - values[j]) ** 2) for i in members for j in partners[i])
        return total / len(members)

    value, gradient = value_and_gradient(constancy_energy, colours, pairs)
    assert float(value) == pytest.approx(energy(np.asarray(colours)), rel=1e-5)
    np.testing.assert_allclose(gradient, numerical_gradient(energy, colours), atol=1e-4)


@pytest.mark.parametrize("members", [0, 1, 2])
def test_constancy_is_finite_for_hardly_any_skin(members):
    skin = jnp.arange(9) < members
    pairs = jax.jit(draw_skin_pairs)(jax.random.key(6), skin)
    value, gradient = value_and_gradient(constancy_energy, noise(9), pairs)
    assert np.isfinite(value) and np.isfinite(gradient).all() and (members > 1) == bool(value > 0)


def test_constancy_makes_the_skin_alike_and_nothing_else():
    skin, colours = half_skin(81), noise(81, 8, 0.2)

    def energy(values):
        return constancy_energy(values, draw_skin_pairs(jax.random.key(7), skin))

    found = descend(energy, colours)
    assert jnp.std(found[skin], axis=0).max() < 0.05 * jnp.std(colours[skin], axis=0).min()
    np.testing.assert_array_equal(found[~skin], colours[~skin])


# Equation 15


def test_stabilisation_is_equation_15_and_shrinks():
    moves = noise(30)
    assert float(stabilisation_energy(moves)) == pytest.approx(
        sum((row**2).sum() for row in np.asarray(moves)) / 30, rel=1e-5
    )
    found = descend(stabilisation_energy, moves, steps=300)
    assert jnp.abs(found).max() < 0.1 * jnp.abs(moves).max()
    assert not jax.jit(jax.grad(stabilisation_energy))(jnp.zeros((5, 3))).any()
