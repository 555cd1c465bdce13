"""What is measured on held-out faces while a network trains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import flatten_code, leading_reflectance
from fml_jax.errors import InputError
from fml_jax.evaluation.surfaces import reflectance_error
from fml_jax.face_model.base import geometry, reflectance, with_reflectance_modes
from fml_jax.face_model.correctives import Correctives
from fml_jax.networks.multilevel import Network
from fml_jax.training.config import run_config
from fml_jax.training.held_out import Evaluator
from fml_jax.training.sharding import make_mesh
from tests.compiled_programs import run_once
from tests.tiny_face import random_code
from tests.training import stub

FACE = np.ones(7, bool)


def test_the_reflectance_error_leaves_out_a_shift_and_other_vertices():
    true = np.random.default_rng(0).random((2, 7, 3))
    shifted = true + np.array([[[0.1, 0.2, -0.1]], [[0.0, 0.3, 0.0]]])
    assert reflectance_error(shifted, true, FACE) == pytest.approx(0, abs=1e-9)
    beside = np.where(FACE * np.arange(7) < 5, 1, 0).astype(bool)
    shifted[:, 5:] += 9.0
    assert reflectance_error(shifted, true, beside) == pytest.approx(0, abs=1e-9)
    one = true.copy()
    one[:, 0, 0] += 0.7  # of which the mean takes a seventh
    assert reflectance_error(one, true, FACE) == pytest.approx((0.6 + 6 * 0.1) / 7)


def test_a_code_is_cut_to_the_modes_that_a_model_has(tiny_model):
    code = random_code(tiny_model, np.random.default_rng(0))
    cut = leading_reflectance(flatten_code(code), tiny_model.code_sizes._replace(reflectance=2))
    np.testing.assert_array_equal(cut.reflectance, code.reflectance[:2])
    for part in ("identity", "expression", "rotation", "translation", "illumination"):
        np.testing.assert_array_equal(getattr(cut, part), getattr(code, part))
    whole = leading_reflectance(flatten_code(code), tiny_model.code_sizes)
    np.testing.assert_array_equal(whole.reflectance, code.reflectance)
    with pytest.raises(ValueError):
        leading_reflectance(flatten_code(code)[:-1], tiny_model.code_sizes)


def test_a_model_with_fewer_modes_says_so(tiny_model):
    fewer = with_reflectance_modes(tiny_model, 2)
    assert fewer.code_sizes == (3, 2, 2) and fewer.name == "tiny, 2 reflectance modes"
    beta = jnp.array([0.3, -1.0])
    np.testing.assert_allclose(
        reflectance(fewer, beta), reflectance(tiny_model, jnp.array([0.3, -1.0, 0.0])), atol=1e-7
    )
    with pytest.raises(InputError, match="reflectance_modes=4: the face model tiny has 1 to 3"):
        with_reflectance_modes(tiny_model, 4)


def evaluator(network, model, config, photos=None, synthetic=None, truth=None):
    given = {"photos": photos, "synthetic": synthetic, "truth": truth or model}
    return Evaluator(network, model, config.stages, mesh=make_mesh(1), seed=0, **given)


@pytest.fixture(scope="module")
def measured(tiny_model):
    """Errors of a network whose final level makes half of every face red, with all modes and with fewer."""
    config = stub.small_config(steps=(1,), levels=["full"])
    batches = stub.batch_of(0, photos=26), stub.batch_of(0, synthetic=6)

    def measure(modes):
        model = with_reflectance_modes(tiny_model, modes)
        network = Network(stub.LinearEncoder(38 + modes), Correctives(81), (8, 8), make_mesh(1))
        params = run_once(network.init, jax.random.key(0))
        half = np.arange(81) < 40
        offset = params["correctives"]["reflectance"]["offset"]
        params["correctives"]["reflectance"]["offset"] = offset.at[half, 0].add(0.4)
        return evaluator(network, model, config, *batches, truth=tiny_model)(params, "stage0")

    return {modes: measure(modes) for modes in (2, 3)}


@pytest.mark.parametrize("modes", [2, 3])
def test_both_levels_are_measured_against_photo_and_truth(measured, modes):
    values = measured[modes]
    names = ("landmark_error", "photo_base", "photo_final", "smo", "ref", "glo")
    for kind in ("photos", "synthetic"):
        assert {f"{kind}/{name}" for name in names} <= values.keys()
        assert values[f"{kind}/photo_final"] != pytest.approx(values[f"{kind}/photo_base"], rel=1e-3)
    # Two halves of a face that differ by 0.4 in red: 0.2 off their mean each.
    assert values["synthetic/reflectance_error_final"] > values["synthetic/reflectance_error_base"] + 0.05
    assert values["synthetic/reflectance_error_mean"] == measured[3]["synthetic/reflectance_error_mean"] > 0
    # With all modes the truth is within the base level's reach, with fewer it is not.
    assert (values["synthetic/reflectance_error_own_modes"] < 1e-6) == (modes == 3)
    assert "photos/reflectance_error_mean" not in values and all(np.isfinite(list(values.values())))


def test_terms_are_means_over_all_faces_of_a_batch(tiny_model):
    """However many rows are taken at a time, and negatives count nowhere. Invariance, for which four photos of a batch
    count, is left out."""
    settings = stub.small_settings(steps=(1,))
    settings.stages.stage0.update(invariance=1.0, changed_photos=4)
    config = run_config(settings)
    batch = stub.batch_of(0, photos=24)
    network = Network(stub.LinearEncoder(41), mesh=make_mesh(1))
    params = run_once(network.init, jax.random.key(0))

    def photo(rows):
        part = {name: column[rows] for name, column in batch.items()}
        return evaluator(network, tiny_model, config, part)(params, "stage0")["photos/photo"]

    faces = np.flatnonzero(batch["is_face"])
    assert photo(np.arange(24)) == pytest.approx(np.mean([photo(faces[:9]), photo(faces[9:])]), rel=1e-5)


def test_nothing_is_measured_without_held_out_faces(tiny_model):
    network = Network(stub.LinearEncoder(41), mesh=make_mesh(1))
    config = stub.small_config(steps=(1,))
    assert evaluator(network, tiny_model, config)(run_once(network.init, jax.random.key(0)), "stage0") == {}


def with_truth(model, batch):
    """The batch with its codes' surfaces stored beside them, bent by 2 mm out of the model's reach."""
    shapes = np.concatenate([model.identity, model.expression]).reshape(5, -1)
    hidden = np.random.default_rng(5).normal(size=shapes.shape[1])
    hidden -= shapes.T @ np.linalg.lstsq(shapes.T, hidden, rcond=None)[0]
    hidden = 2 * hidden.reshape(81, 3) / np.linalg.norm(hidden.reshape(81, 3), axis=1).mean()
    codes = leading_reflectance(batch["code"], model.code_sizes)
    return {
        **batch,
        "vertices": np.asarray(jax.vmap(lambda *parts: geometry(model, *parts))(codes.identity, codes.expression))
        + hidden,
        "reflectance": np.asarray(jax.vmap(lambda beta: reflectance(model, beta))(codes.reflectance)),
    }


def test_stored_truth_is_what_levels_are_held_against(tiny_model):
    config = stub.small_config(steps=(1,), levels=["full"])
    batch = with_truth(tiny_model, stub.batch_of(0, synthetic=6))
    network = Network(stub.LinearEncoder(41), Correctives(81), (8, 8), make_mesh(1))
    values = evaluator(network, tiny_model, config, None, batch)(run_once(network.init, jax.random.key(0)), "stage0")
    for name in ("geometry_error", "reflectance_error", "photo"):
        rows = {row: values[f"synthetic/{name}_{row}"] for row in ("base", "final", "mean", "in_span")}
        assert all(np.isfinite(value) and value > 0 for value in rows.values())
        assert rows["final"] == pytest.approx(rows["base"], rel=1e-5)  # nothing is corrected yet
    assert 1 < values["synthetic/geometry_error_in_span"] <= 2.001 < values["synthetic/geometry_error_mean"]
    assert values["synthetic/reflectance_error_in_span"] < 1e-5
    assert values["synthetic/photo_truth"] > 0 and "synthetic/geometry_error_truth" not in values


def test_truth_of_another_mesh_is_refused(tiny_model):
    config = stub.small_config(steps=(1,))
    batch = with_truth(tiny_model, stub.batch_of(0, synthetic=2))
    batch["vertices"] = batch["vertices"][:, :-1]
    with pytest.raises(InputError, match="have 80 vertices, the model has 81"):
        evaluator(Network(stub.LinearEncoder(41), mesh=make_mesh(1)), tiny_model, config, None, batch)
