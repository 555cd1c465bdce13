"""The step of each level: what it trains, what it leaves, what it tells."""

from dataclasses import replace

import jax
import numpy as np
import optax
import pytest

from fml_jax.configs.common import groups
from fml_jax.errors import InputError
from fml_jax.face_model.correctives import Correctives
from fml_jax.image_formation.local_points import PointBasis
from fml_jax.networks.multilevel import Network
from fml_jax.training.config import run_config
from fml_jax.training.gradient_norms import make_gradient_norms
from fml_jax.training.optimizers import make_optimizer
from fml_jax.training.step import init_state, make_loss, make_train_step, step_key
from tests.training import stub

FULL_TERMS = {"sparse", "photo_base", "photo_final", "std", "smo", "ref", "glo", "sta"}


@pytest.fixture(scope="module")
def network():
    return Network(stub.LinearEncoder(41), Correctives(81), (8, 8))


def stage_of(level, rates=None, **full):
    settings = stub.small_settings(levels=[level, "full"], steps=(1, 1))
    settings.stages.stage0.full.update(photo=50.0, sparse=1e-3, contour="pose", **full)
    if rates:
        settings.stages.stage0.optimizer.groups = rates
    return run_config(settings).stages["stage0"]


def batch_of(step=0):
    return stub.batch_of(step, synthetic=4, photos=4)


def run(network, model, stage, steps, state=None):
    optimizer = make_optimizer(stage.optimizer, steps)
    state = state or init_state(network, optimizer, seed=0)
    state = state.replace(opt_state=optimizer.init(state.params))
    step = jax.jit(make_train_step(network, optimizer, stage, seed=0))
    for _ in range(steps):
        state, metrics = step(state, model, batch_of())
    return state, metrics


def moved(before, after):
    """Names of the parameters that changed."""
    leaves = jax.tree_util.tree_leaves_with_path(jax.tree.map(lambda a, b: bool((a != b).any()), before, after))
    return {"/".join(key.key for key in path) for path, changed in leaves if changed}


def test_the_base_stage_leaves_the_final_level_as_it_is(network, tiny_model):
    stage = stage_of("base")
    start = init_state(network, make_optimizer(stage.optimizer, 1), seed=0)
    state, _ = run(network, tiny_model, stage, 3)
    trained = {f"encoder/{layer}/{part}" for layer in ("hidden", "code", "score") for part in ("kernel", "bias")}
    assert moved(start.params, state.params) == trained
    statistics = sum(leaf.size for leaf in jax.tree.leaves(state.opt_state))
    assert statistics < 3 * sum(leaf.size for leaf in jax.tree.leaves(state.params["encoder"]))  # none of the modes'


def test_an_average_is_kept_where_it_is_asked_for(network, tiny_model):
    stage = stage_of("base")
    optimizer = make_optimizer(stage.optimizer, 1)
    plain = init_state(network, optimizer, seed=0, keep_ema=False)
    state, _ = run(network, tiny_model, replace(stage, ema_decay=0.0), 2, plain)
    assert state.ema_params is None and state.eval_params is state.params
    averaged, _ = run(network, tiny_model, replace(stage, ema_decay=0.5), 2)
    jax.tree.map(np.testing.assert_array_equal, averaged.params, state.params)
    assert averaged.eval_params is averaged.ema_params and moved(averaged.eval_params, averaged.params)


def test_the_full_stage_trains_everything_and_the_final_level_gets_ahead(network, tiny_model):
    stage = stage_of("full", rates=stub.two_rates(1e-3, 1e-2), ref=0.0, glo=0.0)
    start, first = run(network, tiny_model, stage, 1)
    assert first["photos/photo_final"] == pytest.approx(float(first["photos/photo_base"]), rel=1e-5)
    state, metrics = run(network, tiny_model, stage, 120, start)
    assert metrics["photos/photo_final"] < 0.9 * metrics["photos/photo_base"]
    names = {"/".join(key.key for key in path) for path, _ in jax.tree_util.tree_leaves_with_path(state.params)}
    assert moved(start.params, state.params) == names


def test_metrics_are_unreduced_terms_and_their_means(network, tiny_model):
    stage, params, batch = stage_of("full"), network.init(jax.random.key(0)), batch_of()
    total, metrics = jax.jit(make_loss(network, stage))(params, tiny_model, batch, step_key(0, 0))
    rows, faces = metrics["rows"], np.asarray(batch["is_face"][4:])
    assert {name.removeprefix("photos/") for name in rows if name.startswith("photos/")} == FULL_TERMS
    assert all(row.shape == (8,) for row in rows.values()) and metrics.keys() - {"rows", "loss"} == rows.keys() - {
        "energy"
    }
    assert float(total) == pytest.approx(float(rows["energy"].mean()), rel=1e-6)
    np.testing.assert_array_equal(rows["photos/sparse"] > 0, [False] * 4 + list(faces > 0))
    assert float(metrics["photos/sparse"]) == pytest.approx(float(rows["photos/sparse"].sum() / faces.sum()), rel=1e-6)
    np.testing.assert_array_equal(rows["synthetic/identity"] > 0, [True] * 4 + [False] * 4)
    assert float(metrics["synthetic/identity"]) == pytest.approx(float(rows["synthetic/identity"][:4].mean()), rel=1e-6)


def test_skin_pairs_are_those_of_seed_and_step(network, tiny_model):
    params = network.init(jax.random.key(0))
    params["final"]["bias"] = params["final"]["bias"].at[8:16].set(1.0)  # reflectance that varies
    loss = jax.jit(make_loss(network, stage_of("full")))

    def constancy(seed, step):
        return float(loss(params, tiny_model, batch_of(), step_key(seed, step))[1]["photos/glo"])

    found = [constancy(*place) for place in ((0, 3), (0, 3), (0, 4), (1, 3))]
    assert found[0] == found[1] and len(set(found)) == 3


def test_gradient_norms_are_those_of_each_terms_mean(network, tiny_model):
    stage, batch = stage_of("full"), batch_of()
    state = init_state(network, make_optimizer(stage.optimizer, 1), seed=0)
    norms = jax.jit(make_gradient_norms(network, stage, seed=0))(state, tiny_model, batch)
    loss = make_loss(network, stage)

    def photo(params):
        return loss(params, tiny_model, batch, step_key(0, 0))[1]["photos/photo_final"]

    for group, part in jax.jit(jax.grad(photo))(state.params).items():
        norm = float(norms[f"gradient/photos/photo_final/{group}"])
        assert norm == pytest.approx(float(optax.tree.norm(part)), rel=1e-4) and norm > 0
    assert norms["gradient/photos/photo_base/correctives"] == 0 < norms["gradient/photos/photo_base/encoder"]


def test_a_network_parameter_without_a_group_is_refused(network):
    stage = stage_of("full", rates=groups({"encoder": 1e-3, "final": 1e-3}))
    with pytest.raises(InputError, match="'correctives/geometry/modes' belongs to no group"):
        init_state(network, make_optimizer(stage.optimizer, 1), seed=0)


@pytest.fixture(scope="module")
def local_network(tiny_model):
    return Network(stub.LinearEncoder(41), basis=PointBasis.of(tiny_model))


def landmarks_stage(**rates):
    settings = stub.small_settings(levels=["landmarks"], steps=(1,), kind="none")
    settings.local_stages = True
    settings.stages.stage0.optimizer.groups = groups(rates)
    settings.stages.stage0.score = 0.0
    return run_config(settings).stages["stage0"]


def test_local_stages_train_alone_where_the_encoder_has_rate_0(local_network, tiny_model):
    stage = landmarks_stage(encoder=0.0, local=1e-3)
    start, _ = run(local_network, tiny_model, stage, 1)
    state, metrics = run(local_network, tiny_model, stage, 1, start)
    assert {name.partition("/")[0] for name in moved(start.params, state.params)} == {"local"}
    gradient = jax.grad(lambda params: make_loss(local_network, stage)(params, tiny_model, batch_of(), None)[0])
    norms = {part: float(optax.tree.norm(each)) for part, each in gradient(start.params).items()}
    assert norms["encoder"] > 0  # the step leaves it out, although the loss depends on it
    assert metrics["gradient_norm"] == pytest.approx(norms["local"], rel=1e-3)


def test_the_loss_of_landmarks_ignores_colours(local_network, tiny_model):
    params, stage = local_network.init(jax.random.key(0)), landmarks_stage(encoder=1e-3, local=1e-3)
    _, metrics = jax.eval_shape(make_loss(local_network, stage), params, tiny_model, batch_of(), None)
    assert {name for name in metrics if name.startswith("photos/")} == {
        "photos/sparse",
        "photos/std",
        "photos/local_points",
        "photos/local_distance",
    }


def test_points_of_the_eyes_count_on_photos_only(local_network, tiny_model):
    params, stage = local_network.init(jax.random.key(0)), landmarks_stage(encoder=1e-3, local=1e-3)
    loss = make_loss(local_network, replace(stage, synthetic=0, photos=8))
    as_photos, batch = batch_of() | {"has_code": np.zeros(8, np.float32)}, batch_of()
    shifted = {"eyes": batch["eyes"] + 30}
    for rows, differs in ((as_photos, [False, True, True, True] * 2), (batch, [False] * 5 + [True] * 3)):
        one, other = (loss(params, tiny_model, rows | each, None)[1]["rows"] for each in ({}, shifted))
        np.testing.assert_array_equal(one["photos/local_distance"] != other["photos/local_distance"], differs)
