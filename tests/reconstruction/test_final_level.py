"""Faces of both levels, from weights with a final level."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax import InputError, Reconstructor, load_face
from fml_jax.codes import flatten_code
from fml_jax.face_model import load_face_model
from fml_jax.face_model.learned import corrections
from fml_jax.face_model.placement import MOVES_EDGE
from fml_jax.networks.multilevel import CorrectivesConfig, layers, make_network
from fml_jax.networks.weights import load_weights, save_weights
from fml_jax.photos.crops import crop_photo
from fml_jax.reconstruction.open_network import OPEN_WEIGHTS
from fml_jax.reconstruction.prediction import load_network
from fml_jax.training import stored
from tests.compiled_programs import run_once

SIZES = (3, 2)


@functools.cache
def two_levels(inputs):
    """A network of the shipped base level and of a random final level, and its parameters."""
    model = load_face_model(detail="face")
    settings = CorrectivesConfig("linear", *SIZES, inputs=inputs)
    network = make_network("deep", settings, model, local_stages=True, solve_colours=True)

    def of_the_final_level(key):
        params = network.init(key)
        return {name: params[name] for name in ("final", "correctives")}

    params = run_once(of_the_final_level, jax.random.key(0))
    shipped, _ = load_weights(OPEN_WEIGHTS)
    shipped = {name: part for name, part in shipped.items() if name not in ("final", "correctives", "delta")}
    params |= {"local": shipped.pop("local"), "encoder": shipped}
    params["final"] = jax.tree.map(
        lambda leaf: leaf + 0.05 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), params["final"]
    )
    return network, model, params


def save(path, params, inputs="features", **changed):
    delta = {"mean": np.zeros(sum(SIZES)), "factor": np.eye(sum(SIZES))}
    final = {"kind": "linear", "geometry": 3, "reflectance": 2, "inputs": inputs, "detail": "face", **changed}
    about = {"encoder": "deep", "model": load_face_model().name, "final_level": final}
    save_weights(path, layers(params) | {"delta": delta}, about)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    _, _, params = two_levels("residuals")
    return save(tmp_path_factory.mktemp("weights") / "two.npz", params, "residuals")


@pytest.fixture(scope="module")
def both(weights, face):
    return Reconstructor(weights)(face.photo, [face.box])[0]


@pytest.fixture(scope="module")
def base(weights, face):
    return Reconstructor(weights, level="base")(face.photo, [face.box])[0]


@pytest.fixture(scope="module")
def loaded(weights):
    return load_network(weights)


def test_the_face_is_that_of_its_last_level(both, base):
    assert base.final_code is None
    level = both.level("base")
    for name in ("vertices", "reflectance", "landmarks68", "illumination", "landmark_uncertainty"):
        np.testing.assert_allclose(getattr(level, name), getattr(base, name), atol=2e-2)
    assert both.level("final") is both
    assert np.abs(both.vertices - level.vertices).max() > 0.1
    assert np.abs(both.illumination - level.illumination).max() > 1e-3
    assert np.abs(both.render("reflectance").astype(int) - level.render("reflectance")).max() > 3


def test_corrections_fall_to_zero_at_the_edge_of_the_face(both):
    moved = np.linalg.norm(both.vertices - both.level("base").vertices, axis=1)
    regions = {name: np.asarray(mask) for name, mask in both.model.regions.items()}
    # What the face surrounds, such as some vertices beside the eyes, goes with it.
    beside = (both.model.mean[:, 2] < 80) & ~regions["face"]
    assert moved[beside].max() < 1e-3
    # A vertex that an edge of the mesh joins to another region is no farther from that region than the edge is long.
    outside = (regions["neck"] | regions["ears"] | regions["scalp"]) & beside
    edges = both.triangles[:, [[0, 1], [1, 2], [2, 0], [1, 0], [2, 1], [0, 2]]].reshape(-1, 2)
    inner, outer = edges[regions["face"][edges[:, 0]] & outside[edges[:, 1]]].T
    distance = np.linalg.norm(both.model.mean[inner] - both.model.mean[outer], axis=1)
    share = distance / MOVES_EDGE
    assert len(inner) > 50 and share.max() < 1
    assert (moved[inner] <= share**2 * (3 - 2 * share) * moved.max() + 1e-3).all()


def test_corrections_of_skin_go_on_smoothly_beyond_the_face(loaded, both):
    """Of a ramp from cheek to cheek: at the face's border nothing changes faster than along the ramp."""
    model, final = load_face_model(), loaded.final
    ramp = np.clip(np.asarray(model.mean)[np.asarray(final.rows), :1] / 60, -1, 1)
    added = np.asarray(final.ends.skin.completed(jnp.asarray(np.tile(ramp, 3), jnp.float32)))[:, 0]
    regions = {name: np.asarray(mask) for name, mask in model.regions.items()}
    outside = (regions["neck"] | regions["ears"] | regions["scalp"]) & ~regions["face"]
    edges = both.triangles[:, [[0, 1], [1, 2], [2, 0], [1, 0], [2, 1], [0, 2]]].reshape(-1, 2)
    inner, outer = edges[regions["face"][edges[:, 0]] & outside[edges[:, 1]]].T
    longest = np.linalg.norm(np.asarray(model.mean)[inner] - np.asarray(model.mean)[outer], axis=1).max()
    assert np.abs(added[inner] - added[outer]).max() < longest / 60
    ears = regions["ears"] & outside
    assert np.sign(added[ears] * np.asarray(model.mean)[ears, 0]).min() == 1


@pytest.fixture(scope="module")
def crops(face):
    return crop_photo(face.photo, face.crop_from_photo)[None]


@pytest.fixture(scope="module")
def computed(crops):
    """The final level's code and corrections, as training computes them of a crop."""
    network, model, params = two_levels("residuals")
    return jax.jit(
        lambda params, crops: network.final_level(params, network.encode(params, crops), model, crops=crops)
    )(params, jnp.asarray(crops / np.float32(255)))


def test_it_is_also_computed_of_stored_answers(computed, crops):
    network, model, params = two_levels("residuals")
    answers = jax.jit(functools.partial(stored.answered, network))(params, model, crops=crops)
    assert answers.local is None and answers.base.residuals is not None
    later = {name: params[name] for name in ("final", "correctives")}
    black = jnp.zeros(crops.shape)  # nothing is looked up in the picture again
    found = jax.jit(lambda params, answers: network.final_level(params, answers, model, crops=black))(later, answers)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(computed), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_it_is_what_training_computes(both, loaded, computed):
    code, added = computed
    np.testing.assert_allclose(both.final_code.geometry, code.geometry[0], rtol=0.05, atol=0.05)
    np.testing.assert_allclose(both.final_code.reflectance, code.reflectance[0], rtol=0.05, atol=0.05)
    np.testing.assert_allclose(both.illumination, code.illumination[0], atol=0.02)
    learned = loaded.final
    inner = np.abs(np.asarray(learned.ends.moves.extent[learned.rows, 0]) - 1) < 1e-6
    inner &= np.asarray(both.model.regions["face"])[learned.rows]
    moved = (both.vertices - both.level("base").vertices)[np.asarray(learned.rows)]
    np.testing.assert_allclose(moved[inner], added.geometry[0][inner], atol=0.05)


def test_the_learned_model_has_the_same_corrections(both, loaded):
    model = loaded.face_model()
    added = corrections(model, both.final_code)
    level = both.level("base")
    np.testing.assert_allclose(level.vertices + added.geometry, both.vertices, atol=1e-2)
    np.testing.assert_allclose(level.reflectance + added.reflectance, both.reflectance, atol=1e-3)


@pytest.mark.parametrize("ending", ["fml", "npz"])
def test_both_levels_are_saved_and_loaded(both, loaded, tmp_path, ending):
    model = loaded.face_model()
    again = load_face(both.save(tmp_path / f"a.{ending}")[0], model=model)
    np.testing.assert_allclose(again.vertices, both.vertices, atol=1e-2)
    np.testing.assert_allclose(again.level("base").vertices, both.level("base").vertices, atol=1e-2)
    np.testing.assert_allclose(flatten_code(again.level("base").code), flatten_code(both.level("base").code), atol=1e-4)


def test_a_face_of_the_base_level_alone_has_no_final_one(base, weights):
    with pytest.raises(InputError, match="no final level"):
        base.level("final")
    with pytest.raises(InputError, match="level 'top' is unknown; choose one of base, final"):
        base.level("top")
    with pytest.raises(InputError, match="level 'top' is unknown"):
        Reconstructor(weights, level="top")


def test_the_papers_layer_serves_as_well(face, tmp_path):
    _, _, params = two_levels("features")
    found = Reconstructor(save(tmp_path / "plain.npz", params))(face.photo, [face.box])[0]
    assert np.abs(found.vertices - found.level("base").vertices).max() > 0.01


def test_a_final_level_that_cannot_be_shown_is_reported(tmp_path, caplog):
    _, _, params = two_levels("features")
    assert load_network(save(tmp_path / "fine.npz", params, detail="fine")).final is None
    assert "fine.npz: its final level was trained at detail fine; faces show its base level" in caplog.text
    save_weights(tmp_path / "old.npz", layers(params), {"encoder": "deep", "model": load_face_model().name})
    assert load_network(tmp_path / "old.npz").final is None
    assert "old.npz: its final level cannot be used" in caplog.text


@pytest.mark.parametrize("changed", [{"kind": "cubic"}, {"geometry": "many"}, {"geometry": 4}, {"inputs": "residuals"}])
def test_a_damaged_note_is_refused(tmp_path, changed):
    _, _, params = two_levels("features")
    with pytest.raises(InputError, match="bad.npz"):
        load_network(save(tmp_path / "bad.npz", params, **changed))
