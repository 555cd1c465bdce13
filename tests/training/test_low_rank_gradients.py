"""Gradients as factors: the same training, without the arrays."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fml_jax.face_model.correctives import Correctives
from fml_jax.networks.multilevel import Network
from fml_jax.ops.products import Factored, LowRankGradient
from fml_jax.training import low_rank_gradients as factors
from fml_jax.training.adadelta import adadelta
from fml_jax.training.config import run_config
from fml_jax.training.low_rank_gradients import (
    gradient_norm,
    low_rank_gradients_of,
    low_rank_rows,
    with_low_rank_gradients,
)
from fml_jax.training.optimizers import make_optimizer
from fml_jax.training.step import init_state, make_loss, make_train_step, step_key
from tests.compiled_programs import run_once
from tests.training import stub

MODES = 8 * 3 * 81


@pytest.fixture(scope="module")
def network():
    return Network(stub.LinearEncoder(41), Correctives(81), (8, 8))


def stage_of(rows=(0, 4), level="full", **optimizer):
    settings = stub.small_settings(levels=[level, "full"], steps=(1, 1), rows=rows)
    stage = settings.stages.stage0
    stage.ema_decay = 0.0
    stage.optimizer.update({"name": "adadelta", "clip": 0.0, **optimizer})
    stage.optimizer.groups = stub.two_rates(0.1, 0.1 if level == "full" else 0.0)
    return run_config(settings).stages["stage0"]


def trained(network, model, stage, steps=4):
    """The state after some steps, and the gradients' norms."""
    optimizer = make_optimizer(stage.optimizer, steps)
    state, norms = run_once(lambda: init_state(network, optimizer, seed=0, keep_ema=False)), []
    step = jax.jit(make_train_step(network, optimizer, stage, seed=0))
    for number in range(steps):
        batch = stub.StubBatches(None, stage, 0).batch(number)
        state, metrics = step(state, model, {**batch, "is_face": np.ones(4, np.float32)})
        norms.append(float(metrics["gradient_norm"]))
    return state, norms


@pytest.mark.parametrize("level", ["base", "full"])
def test_training_by_factors_is_training_by_arrays(network, tiny_model, level, monkeypatch):
    stage = stage_of(level=level)
    plain, plain_norms = trained(network, tiny_model, stage)
    monkeypatch.setattr(factors, "_LARGE", MODES)
    seen = []
    monkeypatch.setattr(
        Factored, "of", classmethod(lambda cls, *args, own=Factored.of: seen.append(args) or own(*args))
    )
    state, norms = trained(network, tiny_model, stage)
    assert len(seen) == 2  # of both corrective spaces, and of nothing else
    np.testing.assert_allclose(norms, plain_norms, rtol=1e-4)
    for mine, other in zip(jax.tree.leaves(state), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-5)
    moved = jnp.abs(
        state.params["correctives"]["geometry"]["modes"]
        - run_once(network.init, jax.random.key(0))["correctives"]["geometry"]["modes"]
    )
    assert (moved.max() > 0) == (level == "full")


@pytest.mark.parametrize("nonlinearities", [0, 1, 2])
def test_every_matrix_of_the_loss_has_the_same_gradient_by_factors(tiny_model, nonlinearities, monkeypatch):
    monkeypatch.setattr(factors, "_LARGE", 0)
    network, stage = Network(stub.LinearEncoder(41), Correctives(81, nonlinearities), (8, 8)), stage_of()
    params = run_once(network.init, jax.random.key(0))
    params["final"]["kernel"] = 0.1 * jax.random.normal(jax.random.key(1), params["final"]["kernel"].shape)
    loss, batch = make_loss(network, stage), stub.StubBatches(None, stage, 0).batch(0)
    gradient = jax.jit(jax.grad(loss, has_aux=True))
    plain, by_factors = (
        gradient(at, tiny_model, batch, step_key(0, 0))[0] for at in (params, with_low_rank_gradients(params, 4))
    )
    nodes = jax.tree.leaves(low_rank_gradients_of(by_factors), is_leaf=lambda node: isinstance(node, LowRankGradient))
    assert sum(isinstance(node, LowRankGradient) for node in nodes) == 6 + 2 * nonlinearities
    for node, expected in zip(nodes, jax.tree.leaves(plain), strict=True):
        found = node.array() if isinstance(node, LowRankGradient) else node
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * float(jnp.abs(expected).max()))


def test_factors_are_asked_for_where_they_are_taken():
    assert low_rank_rows(stage_of()) == 4
    assert low_rank_rows(stage_of(rows=(0, 64))) == 0  # more rows than are worth it
    assert low_rank_rows(stage_of(rows=(2, 4))) == 0  # not all rows meet the correctives
    assert low_rank_rows(stage_of(name="adam")) == 0
    assert low_rank_rows(stage_of(clip=1.0)) == 0
    assert low_rank_rows(replace(stage_of(), invariance=1.0, changed_photos=2)) == 0  # the encoder is used twice


def test_only_large_matrices_are_factored(monkeypatch):
    monkeypatch.setattr(factors, "_LARGE", 100)
    shapes = {
        "conv": {"kernel": (5, 5, 4, 4)},
        "dense": {"kernel": (10, 10), "bias": (200,)},
        "small": {"kernel": (9, 9)},
        "space": {"modes": (5, 30), "offset": (300, 3)},
    }
    params = jax.tree.map(jnp.zeros, shapes, is_leaf=lambda node: isinstance(node, tuple))
    factored = with_low_rank_gradients(params, 3)
    names = {
        "/".join(key.key for key in path)
        for path, node in jax.tree_util.tree_leaves_with_path(factored, is_leaf=lambda node: isinstance(node, Factored))
        if isinstance(node, Factored)
    }
    assert names == {"dense/kernel", "space/modes"}
    assert isinstance(low_rank_gradients_of(factored)["dense"]["kernel"], LowRankGradient)


def test_adadelta_takes_factors_as_it_takes_arrays():
    rng = np.random.default_rng(0)
    params = {"modes": jnp.asarray(rng.normal(size=(6, 50)), jnp.float32), "offset": jnp.zeros(50)}
    mine, plain = adadelta(0.5, 0.9, 1e-6), optax.adadelta(0.5, 0.9, 1e-6)
    states, shown = [rule.init(params) for rule in (mine, plain)], [params, params]
    for _ in range(5):
        modes = LowRankGradient(*(jnp.asarray(rng.normal(size=(3, size)), jnp.float32) for size in (6, 50)))
        gradient = {"modes": modes, "offset": jnp.asarray(rng.normal(size=50), jnp.float32)}
        dense = {**gradient, "modes": modes.rows.T @ modes.cotangents}
        np.testing.assert_allclose(gradient_norm(gradient), optax.tree.norm(dense), rtol=1e-5)
        for k, (rule, each) in enumerate(((mine, gradient), (plain, dense))):
            updates, states[k] = rule.update(each, states[k], shown[k])
            shown[k] = optax.apply_updates(shown[k], updates)
    for found, expected in zip(jax.tree.leaves(shown[0]), jax.tree.leaves(shown[1]), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_the_step_stores_no_gradient_of_what_is_factored():
    rule = adadelta(0.5, 0.9, 1e-6)
    params = {"modes": jnp.zeros((400, 7000))}
    factored = {"modes": LowRankGradient(jnp.zeros((5, 400)), jnp.zeros((5, 7000)))}

    def step(params, state, gradient):
        updates, state = rule.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, gradient_norm(gradient)

    from fml_jax.training.sharding import COMPILER_OPTIONS

    lowered = jax.jit(step, donate_argnums=(0, 1), compiler_options=COMPILER_OPTIONS).lower(
        params, rule.init(params), factored
    )
    assert lowered.compile().memory_analysis().temp_size_in_bytes < params["modes"].nbytes / 10


def test_factors_that_cancel_have_no_negative_square():
    rows, cotangents = (jax.random.normal(jax.random.key(size), (300, 1, size)) for size in (50, 70))
    cancelling = LowRankGradient(jnp.tile(rows, (1, 2, 1)), jnp.concatenate([cotangents, -cotangents], axis=1))
    assert jax.vmap(LowRankGradient.squared_norm)(cancelling).min() >= 0
