"""The step of each level: what it trains, what it leaves, what it tells."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from fml_jax.configs.common import groups
from fml_jax.errors import InputError
from fml_jax.face_model.correctives import Correctives
from fml_jax.image_formation.local_points import PointBasis
from fml_jax.losses import FinalSkinWeights, LocalWeights, ShapeDifferences, ToneWeights
from fml_jax.networks import local_stages
from fml_jax.networks.multilevel import Network
from fml_jax.photos.landmarks import EYE_MIRROR, IBUG_MIRROR
from fml_jax.training.config import run_config
from fml_jax.training.gradient_norms import make_gradient_norms
from fml_jax.training.optimizers import make_optimizer
from fml_jax.training.step import init_state, make_loss, make_train_step, step_key
from tests.compiled_programs import run_once
from tests.training import stub

FULL_TERMS = {"sparse", "photo_base", "photo_final", "std", "smo", "ref", "glo", "sta"}


@pytest.fixture(scope="module")
def network():
    return Network(stub.LinearEncoder(41), Correctives(81), (8, 8))


@pytest.fixture(scope="module")
def params(network):
    return run_once(network.init, jax.random.key(0))


@pytest.fixture(scope="module")
def full_loss(network):
    """The loss of a stage of both levels, compiled."""
    return jax.jit(make_loss(network, stage_of("full")))


@pytest.fixture(scope="module", autouse=True)
def one_local_stage():
    """A step treats one local stage as it treats three, and compiles in a third of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_stages, "PIXEL", local_stages.PIXEL[:1])
        yield


def stage_of(level, rates=None, **full):
    settings = stub.small_settings(levels=[level, "full"], steps=(1, 1))
    settings.stages.stage0.full.update(photo=50.0, sparse=1e-3, contour="pose", **full)
    if rates:
        settings.stages.stage0.optimizer.groups = rates
    return run_config(settings).stages["stage0"]


def batch_of(step=0):
    return stub.batch_of(step, synthetic=4, photos=4)


def start_of(network, stage, keep_ema=True):
    """The state with which a stage begins."""
    optimizer = make_optimizer(stage.optimizer, 1)
    return run_once(lambda: init_state(network, optimizer, seed=0, keep_ema=keep_ema))


def step_of(network, stage):
    """The compiled step of a stage: `step(state, model, batch) -> (state, metrics)`."""
    return jax.jit(make_train_step(network, make_optimizer(stage.optimizer, 1), stage, seed=0))


def moved(before, after):
    """Names of the parameters that changed."""
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), *jax.device_get((before, after)))
    leaves = jax.tree_util.tree_leaves_with_path(changed)
    return {"/".join(key.key for key in path) for path, changed in leaves if changed}


@pytest.fixture(scope="module")
def base_states(network, tiny_model):
    """States of a base stage that keeps an average: before its first step and after each of three."""
    stage = replace(stage_of("base"), ema_decay=0.5)
    step, states = step_of(network, stage), [start_of(network, stage)]
    for _ in range(3):
        states.append(step(states[-1], tiny_model, batch_of())[0])
    return states


def norm_of(tree):
    return np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(jax.device_get(tree))))


def test_the_base_stage_leaves_the_final_level_as_it_is(base_states):
    start, *_, state = base_states
    trained = {f"encoder/{layer}/{part}" for layer in ("hidden", "code", "score") for part in ("kernel", "bias")}
    assert moved(start.params, state.params) == trained
    statistics = sum(leaf.size for leaf in jax.tree.leaves(state.opt_state))
    assert statistics < 3 * sum(leaf.size for leaf in jax.tree.leaves(state.params["encoder"]))  # none of the modes'


def test_an_average_is_kept_where_it_is_asked_for(network, tiny_model, base_states):
    stage = replace(stage_of("base"), ema_decay=0.0)
    state, step = start_of(network, stage, keep_ema=False), step_of(network, stage)
    for _ in range(2):
        state, _ = step(state, tiny_model, batch_of())
    assert state.ema_params is None and state.eval_params is state.params
    averaged = base_states[2]
    jax.tree.map(np.testing.assert_array_equal, averaged.params, state.params)
    assert averaged.eval_params is averaged.ema_params and moved(averaged.eval_params, averaged.params)


def test_the_full_stage_trains_everything_and_the_final_level_gets_ahead(network, tiny_model):
    stage = stage_of("full", rates=stub.two_rates(1e-3, 1e-2), ref=0.0, glo=0.0)
    step, start, batch = step_of(network, stage), start_of(network, stage), batch_of()
    state, first = step(start, tiny_model, batch)
    assert first["photos/photo_final"] == pytest.approx(float(first["photos/photo_base"]), rel=1e-5)
    for _ in range(120):
        state, metrics = step(state, tiny_model, batch)
    assert metrics["photos/photo_final"] < 0.9 * metrics["photos/photo_base"]
    names = {"/".join(key.key for key in path) for path, _ in jax.tree_util.tree_leaves_with_path(state.params)}
    assert moved(start.params, state.params) == names


@pytest.fixture(scope="module")
def shape_form(tiny_model):
    """A form by which a network's shapes are compared."""
    sizes = tiny_model.code_sizes
    form = jnp.eye(2 * (sizes.identity + sizes.expression) + 1)
    return ShapeDifferences(form, 2 * form)


def test_invariance_compares_the_first_photos_with_their_changed_pictures(
    network, params, full_loss, tiny_model, shape_form
):
    compared = replace(network, shape_differences=shape_form)
    stage = replace(stage_of("full"), invariance=3.0, changed_photos=2)
    batch, key = batch_of(), step_key(0, 0)
    total, metrics = jax.jit(make_loss(compared, stage))(params, tiny_model, batch, key)
    without, _ = full_loss(params, tiny_model, batch, key)
    shown = metrics["rows"]["changed/invariance"]
    np.testing.assert_array_equal(shown > 0, [False] * 4 + list(batch["is_face"][4:6] > 0) + [False] * 2)
    assert float(total - without) == pytest.approx(3.0 * float(shown.sum()) / 8, rel=1e-3)


def test_metrics_are_unreduced_terms_and_their_means(full_loss, params, tiny_model):
    batch = batch_of()
    total, metrics = full_loss(params, tiny_model, batch, step_key(0, 0))
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


def test_skin_pairs_are_those_of_seed_and_step(full_loss, params, tiny_model):
    bias = params["final"]["bias"].at[8:16].set(1.0)  # reflectance that varies
    varied = {**params, "final": {**params["final"], "bias": bias}}

    def constancy(seed, step):
        return float(full_loss(varied, tiny_model, batch_of(), step_key(seed, step))[1]["photos/glo"])

    found = [constancy(*place) for place in ((0, 3), (0, 3), (0, 4), (1, 3))]
    assert found[0] == found[1] and len(set(found)) == 3


def test_gradient_norms_are_those_of_each_terms_mean(network, tiny_model):
    stage, batch = stage_of("full"), batch_of()
    state = start_of(network, stage)
    norms = jax.jit(make_gradient_norms(network, stage, seed=0))(state, tiny_model, batch)
    loss = make_loss(network, stage)

    def photo(params):
        return loss(params, tiny_model, batch, step_key(0, 0))[1]["photos/photo_final"]

    for group, part in jax.jit(jax.grad(photo))(state.params).items():
        norm = float(norms[f"gradient/photos/photo_final/{group}"])
        assert norm == pytest.approx(norm_of(part), rel=1e-4) and norm > 0
    assert norms["gradient/photos/photo_base/correctives"] == 0 < norms["gradient/photos/photo_base/encoder"]


def test_a_network_parameter_without_a_group_is_refused(network):
    stage = stage_of("full", rates=groups({"encoder": 1e-3, "final": 1e-3}))
    with pytest.raises(InputError, match="'correctives/geometry/modes' belongs to no group"):
        init_state(network, make_optimizer(stage.optimizer, 1), seed=0)


@pytest.fixture(scope="module")
def local_network(tiny_model):
    return Network(stub.LinearEncoder(41), basis=PointBasis.of(tiny_model))


@pytest.fixture(scope="module")
def local_params(local_network):
    return run_once(local_network.init, jax.random.key(0))


def landmarks_stage(**rates):
    settings = stub.small_settings(levels=["landmarks"], steps=(1,), kind="none")
    settings.local_stages = True
    settings.stages.stage0.optimizer.groups = groups(rates)
    settings.stages.stage0.score = 0.0
    return run_config(settings).stages["stage0"]


def test_local_stages_train_alone_where_the_encoder_has_rate_0(local_network, tiny_model):
    stage = landmarks_stage(encoder=0.0, local=1e-3)
    start, loss = start_of(local_network, stage), make_loss(local_network, stage)
    state, metrics = step_of(local_network, stage)(start, tiny_model, batch_of())
    assert {name.partition("/")[0] for name in moved(start.params, state.params)} == {"local"}
    gradient = jax.jit(jax.grad(lambda params: loss(params, tiny_model, batch_of(), None)[0]))
    norms = {part: norm_of(each) for part, each in gradient(start.params).items()}
    # The step leaves the encoder out, although the loss depends on it.
    assert metrics["gradient_norm"] == pytest.approx(norms["local"], rel=1e-4)
    assert np.hypot(*norms.values()) > (1 + 5e-4) * norms["local"]


def test_the_loss_of_landmarks_ignores_colours(local_network, local_params, tiny_model):
    stage = landmarks_stage(encoder=1e-3, local=1e-3)
    _, metrics = jax.eval_shape(make_loss(local_network, stage), local_params, tiny_model, batch_of(), None)
    assert {name for name in metrics if name.startswith("photos/")} == {
        "photos/sparse",
        "photos/std",
        "photos/local_points",
        "photos/local_distance",
        "photos/local_openings",
    }


@pytest.mark.parametrize("mirrored", [False, True])
def test_changed_pictures_are_also_compared_with_their_landmarks(
    local_network, local_params, tiny_model, shape_form, monkeypatch, mirrored
):
    def change(key, crop):
        return crop[:, ::-1] if mirrored else crop, jnp.array(mirrored)

    monkeypatch.setattr("fml_jax.training.step.harmless_change", change)
    compared = replace(local_network, shape_differences=shape_form)
    stage = replace(landmarks_stage(encoder=1e-3), invariance=1e-9, changed_photos=4)
    batch = batch_of()
    batch["confidence"] = np.random.default_rng(0).uniform(0.2, 1, batch["confidence"].shape).astype(np.float32)
    seen = dict(batch)
    if mirrored:
        side = np.float32([-1, 1]), np.float32([239, 0])
        seen["crop"] = batch["crop"][:, :, ::-1]
        seen["confidence"] = batch["confidence"][:, IBUG_MIRROR]
        seen["landmarks"] = batch["landmarks"][:, IBUG_MIRROR] * side[0] + side[1]
        seen["eyes"] = batch["eyes"][:, EYE_MIRROR] * side[0] + side[1]
    changed = jax.jit(make_loss(compared, stage))(local_params, tiny_model, batch, step_key(0, 0))[1]["rows"]
    plain = jax.jit(make_loss(local_network, replace(stage, invariance=0.0)))
    shown, before = (plain(local_params, tiny_model, each, step_key(0, 0))[1]["rows"] for each in (seen, batch))
    terms = {name.removeprefix("photos/") for name in shown if name.startswith("photos/")}
    assert {"sparse", "std", "local_points", "local_distance"} <= terms
    for term in terms:
        np.testing.assert_allclose(changed[f"changed/{term}"], shown[f"photos/{term}"], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(changed["energy"][4:], (before["energy"] + shown["energy"])[4:], rtol=1e-3)


def test_the_encoders_own_points_train_the_layer_that_outputs_its_code(local_network, tiny_model):
    stage = landmarks_stage(encoder=0.0, local=1e-3, **{"encoder/code": 1e-3})
    stage = replace(stage, local=LocalWeights(points=0.0, distance=0.0, start=1.0))
    start = start_of(local_network, stage)
    state, metrics = step_of(local_network, stage)(start, tiny_model, batch_of())
    assert "encoder/code/kernel" in moved(start.params, state.params)
    unweighted = replace(stage, local=stage.local._replace(start=0.0))
    # The counterpart without the weight has the same loss but for this term.
    plain, _ = jax.jit(make_loss(local_network, unweighted))(start.params, tiny_model, batch_of(), step_key(0, 0))
    more, terms = jax.jit(make_loss(local_network, stage))(start.params, tiny_model, batch_of(), step_key(0, 0))
    faces = batch_of()["is_face"][4:].sum()  # of the four photos
    distance = (4 * terms["synthetic/local_start"] + faces * terms["photos/local_start"]) / 8
    assert distance > 0
    assert float(more - plain) == pytest.approx(float(distance), rel=1e-4)


def test_the_losses_of_skin_tones_train_their_own_layers_alone(local_network, local_params, tiny_model):
    stage = replace(landmarks_stage(encoder=1e-3, local=1e-3), tone=ToneWeights(known=1.0, agreement=0.15))
    loss, batch = make_loss(local_network, stage), batch_of() | {"person": np.array([0, 0, 0, 0, 0, 1, 1, 1], np.int32)}

    def tones(params):
        _, metrics = loss(params, tiny_model, batch, jax.random.key(0))
        return metrics["synthetic/tone"] + metrics["photos/tone"], metrics["synthetic/tone"]

    gradient, known = jax.jit(jax.grad(tones, has_aux=True))(local_params)
    trained = {name for name, each in flatten_dict(gradient, sep="/").items() if np.any(each)}
    assert known > 0 and trained
    assert all(name.startswith("local/skin_tone/") for name in trained)


def test_the_losses_of_the_final_skin_train_the_final_level_alone(network, params, tiny_model):
    stage = replace(stage_of("full"), skin=FinalSkinWeights(known=3.0, agreement=2.0))
    loss, batch = make_loss(network, stage), batch_of() | {"person": np.array([0, 0, 0, 0, 0, 1, 0, 1], np.int32)}
    params = jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), params)

    def skins(params):
        _, metrics = loss(params, tiny_model, batch, jax.random.key(0))
        return metrics["synthetic/skin"] + metrics["photos/skin"], metrics

    gradient, metrics = jax.jit(jax.grad(skins, has_aux=True))(params)
    trained = {name for name, each in flatten_dict(gradient, sep="/").items() if np.any(each)}
    assert {"final/kernel", "correctives/reflectance/modes"} <= trained
    assert not any(name.startswith("correctives/geometry") for name in trained)
    rows = metrics["rows"]
    assert (rows["synthetic/skin"] > 0).tolist() == [True] * 4 + [False] * 4
    shown = batch["is_face"][4:] > 0
    both = shown & np.roll(shown, 2)  # the third photo is of the first's person, the fourth of the second's
    assert both.any() and (rows["photos/skin"] > 0).tolist() == [False] * 4 + both.tolist()


def test_points_of_the_eyes_count_on_photos_only(local_network, local_params, tiny_model):
    stage = landmarks_stage(encoder=1e-3, local=1e-3)
    loss = jax.jit(make_loss(local_network, replace(stage, synthetic=0, photos=8)))
    as_photos, batch = batch_of() | {"has_code": np.zeros(8, np.float32)}, batch_of()
    shifted = {"eyes": batch["eyes"] + 30}
    for rows, differs in ((as_photos, [False, True, True, True] * 2), (batch, [False] * 5 + [True] * 3)):
        one, other = (loss(local_params, tiny_model, rows | each, None)[1]["rows"] for each in ({}, shifted))
        np.testing.assert_array_equal(one["photos/local_distance"] != other["photos/local_distance"], differs)
