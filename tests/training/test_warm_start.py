"""Beginning with the weights of another run."""

import functools

import jax
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from fml_jax.errors import InputError
from fml_jax.face_model import load_face_model
from fml_jax.networks.multilevel import CorrectivesConfig, Network, layers, make_network
from fml_jax.networks.weights import save_weights
from fml_jax.training.step import init_state
from fml_jax.training.warm_start import warm_started
from tests.compiled_programs import run_once
from tests.training.stub import LinearEncoder

NOTE = {"encoder": "stub", "model": "tiny"}


def fresh(seed):
    return run_once(lambda: init_state(Network(LinearEncoder(41)), optax.sgd(0.1), seed))


@pytest.fixture
def other(tmp_path):
    """Weights of another network, whose last layer but one is missing and whose score has another shape."""
    params = layers(jax.device_get(fresh(5).params))
    params["score"] = {"kernel": np.ones((3, 1)), "bias": np.ones(1)}
    del params["code"]
    save_weights(tmp_path / "other.npz", params, NOTE)
    return tmp_path / "other.npz", flatten_dict(params, sep="/")


def test_what_fits_is_taken_and_the_rest_stays(other):
    path, theirs = other
    begun, own = fresh(0), flatten_dict(fresh(0).params["encoder"], sep="/")
    state = warm_started(begun, str(path), encoder="stub")
    taken = flatten_dict(state.params["encoder"], sep="/")
    assert taken.keys() == own.keys()
    for name in ("hidden/kernel", "score/bias"):
        np.testing.assert_allclose(taken[name], theirs[name], rtol=1e-3)
    for name in ("code/kernel", "score/kernel"):
        np.testing.assert_array_equal(taken[name], own[name])
    jax.tree.map(np.testing.assert_array_equal, state.ema_params, state.params)
    assert state.step == 0


def test_weights_of_nothing_alike_are_refused(tmp_path):
    save_weights(tmp_path / "alien.npz", {"elsewhere": {"kernel": np.ones((2, 2))}}, NOTE)
    with pytest.raises(InputError, match="none of its 1 parameters fit"):
        warm_started(fresh(0), str(tmp_path / "alien.npz"), encoder="stub")


def test_weights_of_another_encoder_are_refused(other):
    path, _ = other
    with pytest.raises(InputError, match="its encoder is 'stub', and this run's is 'deep'; set --config.encoder=stub"):
        warm_started(fresh(0), str(path), encoder="deep")


def test_without_the_encoder_other_parts_of_weights_of_another_one_are_taken(tmp_path):
    model, settings = load_face_model(detail="face"), CorrectivesConfig("linear", 2, 2)

    def begun(seed):
        network = make_network("light", settings, model)
        return run_once(lambda: init_state(network, optax.sgd(0.1), seed))

    trained, start = begun(1), begun(0)
    save_weights(tmp_path / "trained.npz", layers(jax.device_get(trained.params)), NOTE)
    state = warm_started(start, str(tmp_path / "trained.npz"), encoder="light", without=("encoder",))
    jax.tree.map(np.testing.assert_array_equal, state.params["encoder"], start.params["encoder"])
    close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-6)  # files hold float16
    jax.tree.map(close, state.params["correctives"], trained.params["correctives"])


def test_parts_that_the_network_lacks_are_named(tmp_path, caplog):
    params = layers(jax.device_get(fresh(5).params)) | {"local": {"stage_0": {"precision": np.ones(3)}}}
    save_weights(tmp_path / "more.npz", params, NOTE)
    with caplog.at_level("WARNING", logger="absl"):
        warm_started(fresh(0), str(tmp_path / "more.npz"), encoder="stub")
    assert "not in this network, and left out: local" in caplog.text


def test_parts_that_are_not_wanted_keep_their_values(tmp_path):
    model, settings = load_face_model(detail="face"), CorrectivesConfig("linear", 2, 2)

    def begun(seed):
        network = make_network("light", settings, model)
        return run_once(lambda: init_state(network, optax.sgd(0.1), seed))

    save_weights(tmp_path / "trained.npz", layers(jax.device_get(begun(1).params)), NOTE)
    start, path = begun(0), str(tmp_path / "trained.npz")
    state = warm_started(start, path, encoder="stub", without=("final", "correctives"))
    for part in ("final", "correctives"):
        jax.tree.map(np.testing.assert_array_equal, state.params[part], start.params[part])
    assert (state.params["encoder"]["code"]["kernel"] != start.params["encoder"]["code"]["kernel"]).all()
    with pytest.raises(InputError, match="no network has correctors; parts are encoder, local, final, correctives"):
        warm_started(start, path, encoder="stub", without=("correctors",))
