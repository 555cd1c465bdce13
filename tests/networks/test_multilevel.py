"""The network of both levels: its parameters, its start, and what reaches what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import flatten_code
from fml_jax.errors import InputError
from fml_jax.face_model import load_face_model
from fml_jax.face_model.correctives import GEOMETRY_SPREAD, REFLECTANCE_SPREAD
from fml_jax.face_model.harmonics import harmonic_modes
from fml_jax.image_formation.points import form_points
from fml_jax.networks.multilevel import CorrectivesConfig, Network, layers, make_network
from fml_jax.networks.weights import save_weights
from fml_jax.reconstruction import Reconstructor
from tests.compiled_programs import run_once
from tests.training.stub import LinearEncoder


def settings(kind="linear", geometry=4, reflectance=3, subspace="all", modes="random"):
    return CorrectivesConfig(kind, geometry, reflectance, subspace, modes=modes)


def final_level(network, params, crops, model):
    return network.final_level(params, network.encode(params, crops), model, crops=crops)


@pytest.fixture
def build(tiny_model, monkeypatch):
    monkeypatch.setattr("fml_jax.networks.multilevel.make_encoder", lambda name, size: LinearEncoder(size))

    def build(**changes):
        network = make_network("linear", settings(**changes), tiny_model)
        return network, network.init(jax.random.key(0))

    return build


@pytest.fixture(scope="module")
def crops():
    return jnp.asarray(np.random.default_rng(0).random((2, 240, 240, 3)), jnp.float32)


def test_a_base_level_network_is_its_encoder(build, crops):
    network, params = build(kind="none")
    assert set(params) == {"encoder"}
    raw, logits = network.encoder.apply({"params": params["encoder"]}, crops)
    output = network.encode(params, crops)
    np.testing.assert_array_equal(output.raw, raw)
    np.testing.assert_array_equal(output.logits, logits)


def test_correctives_change_nothing_of_the_encoders_start(build):
    alone, both = build(kind="none")[1], build()[1]
    assert set(both) == {"encoder", "final", "correctives"}
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), alone["encoder"], both["encoder"]))


@pytest.mark.parametrize("kind, layers", [("linear", 0), ("relu1", 1), ("relu2", 2)])
def test_kinds_are_their_layers(build, kind, layers):
    _, params = build(kind=kind)
    for space, size in (("geometry", 4), ("reflectance", 3)):
        names = {"modes", "offset"} | {f"layer_{k}" for k in range(layers)}
        assert set(params["correctives"][space]) == names
        assert params["correctives"][space]["modes"].shape == (size, 3 * 81)


@pytest.mark.parametrize("kind, modes", [("linear", "random"), ("relu1", "random"), ("linear", "harmonics")])
def test_the_final_level_starts_as_the_base_level(build, crops, tiny_model, kind, modes):
    network, params = build(kind=kind, modes=modes)
    code, corrections = final_level(network, params, crops, tiny_model)
    assert code.geometry.shape == (2, 4) and code.reflectance.shape == (2, 3)
    np.testing.assert_allclose(corrections.geometry, 0, atol=1e-6)
    np.testing.assert_allclose(corrections.reflectance, 0, atol=1e-6)
    np.testing.assert_array_equal(code.illumination, code.base.illumination)
    np.testing.assert_array_equal(flatten_code(code.lit), flatten_code(code.base))


def test_modes_begin_as_harmonics_where_these_are_asked_for(build, tiny_model):
    spaces = build(modes="harmonics")[1]["correctives"]
    mesh = np.asarray(tiny_model.mean), np.asarray(tiny_model.topology.triangles)
    np.testing.assert_array_equal(spaces["geometry"]["modes"], harmonic_modes(*mesh, 4, spread=GEOMETRY_SPREAD))
    np.testing.assert_array_equal(spaces["reflectance"]["modes"], harmonic_modes(*mesh, 3, spread=REFLECTANCE_SPREAD))
    with pytest.raises(InputError, match="harmonics with kind relu1"):
        build(kind="relu1", modes="harmonics")


def test_without_masks_every_place_counts(tiny_model):
    crops = np.full((1, 240, 240, 3), 0.5, np.float32)
    with_masks, without = (make_network("deep", settings("none"), tiny_model, masks=masks) for masks in (True, False))
    params = jax.eval_shape(with_masks.init, jax.random.key(0))
    assert jax.eval_shape(with_masks.encode, params, crops).occlusion is not None
    assert jax.eval_shape(without.encode, params, crops).occlusion is None


def test_the_final_layer_moves_the_final_level_alone(build, crops, tiny_model):
    network, params = build()
    changed = {**params, "final": jax.tree.map(lambda leaf: leaf + 0.1, params["final"])}
    unchanged = final_level(network, params, crops, tiny_model)
    code, corrections = final_level(network, changed, crops, tiny_model)
    np.testing.assert_array_equal(flatten_code(code.base), flatten_code(unchanged[0].base))
    assert jnp.abs(code.illumination - unchanged[0].illumination).min() > 0
    assert jnp.abs(corrections.geometry).max() > 0.1 and jnp.abs(corrections.reflectance).max() > 0.01


def test_without_parameters_there_is_a_light_of_its_own_and_no_correction(build, crops, tiny_model):
    network, params = build(geometry=0, reflectance=0)
    assert set(params) == {"encoder", "final"} and params["final"]["kernel"].shape[1] == 27
    _, corrections = final_level(network, params, crops, tiny_model)
    assert corrections.geometry.shape == (2, 81, 3) and not corrections.geometry.any()


@pytest.mark.parametrize("kind", ["linear", "relu1"])
def test_corrections_stay_in_their_subspaces_in_the_network_and_in_the_face_model(build, crops, tiny_model, kind):
    network, params = build(kind=kind, subspace="beyond")
    params = jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), params)
    code, corrections = final_level(network, params, crops, tiny_model)
    for found in corrections.geometry:
        assert jnp.abs(found).max() > 0.01
        np.testing.assert_allclose(network.subspaces.geometry.project(found), found, atol=1e-4)
    for found in corrections.reflectance:
        assert jnp.abs(found).max() > 0.01
        np.testing.assert_allclose(found[np.asarray(tiny_model.regions["skin"], bool)].mean(axis=0), 0, atol=1e-5)
    spaces = {"params": network.corrective_spaces(params)}
    np.testing.assert_allclose(
        network.correctives.apply(spaces, code.geometry, code.reflectance), corrections, atol=1e-4
    )
    free, free_params = build(kind=kind)
    assert free.corrective_spaces(free_params) is free_params["correctives"]


@pytest.mark.parametrize(
    "encoder, changes, said",
    [
        ("light", {"kind": "cubic"}, "'cubic' is unknown.*relu2"),
        ("resnet", {"kind": "none"}, "resnet"),
    ],
)
def test_unknown_names_are_refused(unchecked, tiny_model, encoder, changes, said):
    with pytest.raises(InputError, match=said):
        make_network(encoder, settings(**changes), tiny_model)


@pytest.mark.parametrize("name", ["light", "alexnet"])
def test_every_encoder_returns_the_input_of_its_last_layer(name, tiny_model):
    network = make_network(name, settings("none"), tiny_model)
    assert isinstance(network, Network)
    params = jax.eval_shape(network.init, jax.random.key(0))
    output = jax.eval_shape(network.encode, params, jnp.zeros((2, 240, 240, 3)))
    assert output.raw.shape == (2, 41) and output.features.shape == (2, params["encoder"]["code"]["kernel"].shape[0])


def test_solved_colours_fit_the_crop_and_leave_geometry_to_the_encoder():
    model = load_face_model()
    network, plain = (make_network("light", settings("none"), model, solve_colours=each) for each in (True, False))
    params = run_once(plain.init, jax.random.key(0))
    crops = jnp.full((1, 240, 240, 3), 0.25).at[..., 2].set(0.2)

    def colours(network):
        output = jax.jit(network.encode)(params, crops)
        code = jax.jit(network.base_level)(output, model, crops)
        points = jax.jit(jax.vmap(form_points, in_axes=(None, 0)))(model, code)
        return code, np.asarray(points.colours[0])[np.asarray(model.regions["skin"]) & np.asarray(points.visible[0])]

    (solved, fitted), (own, before) = colours(network), colours(plain)
    assert np.abs(fitted - crops[0, 0, 0]).mean() < 0.2 * np.abs(before - crops[0, 0, 0]).mean()
    for name in ("identity", "expression", "rotation", "translation"):
        np.testing.assert_array_equal(getattr(solved, name), getattr(own, name))


def test_weights_of_both_levels_serve_where_the_base_level_is_wanted(tmp_path):
    model = load_face_model()
    network = make_network("light", settings(), model)
    params = run_once(network.init, jax.random.key(0))
    save_weights(tmp_path / "w.npz", layers(params), {"encoder": "light", "model": model.name})
    crops = np.random.default_rng(0).integers(0, 255, (1, 240, 240, 3), dtype=np.uint8)
    codes, _ = Reconstructor(weights=tmp_path / "w.npz").codes(crops)
    code, _ = jax.jit(lambda *given: final_level(network, *given))(params, crops / 255.0, model)
    np.testing.assert_allclose(flatten_code(codes), flatten_code(code.base), rtol=2e-3, atol=2e-3)
