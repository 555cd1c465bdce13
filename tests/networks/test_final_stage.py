"""What the final level looks at: the crop beside the base level's face, at a sample of vertices and at the points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import neutral_code
from fml_jax.face_model import load_face_model
from fml_jax.face_model.base import geometry, reflectance
from fml_jax.networks.final_stage import ResidualSample, whitened_gaps
from fml_jax.networks.multilevel import CorrectivesConfig, make_network
from tests.compiled_programs import run_once


@pytest.fixture(scope="module")
def model():
    return load_face_model(detail="face")


@pytest.fixture(scope="module")
def sample(model):
    return ResidualSample.of(model)


@jax.jit
def residuals_and_skin(sample, model, code, crop):
    skin = reflectance(model, code.reflectance)
    vertices = geometry(model, code.identity, code.expression)
    return sample.residuals(code, vertices, skin, crop=crop), skin


def residuals(sample, model, code, crop):
    found, skin = jax.device_get(residuals_and_skin(sample, model, code, crop))
    return found, skin[sample.rows]


def test_the_residual_is_the_crops_reflectance_less_that_of_the_base_level(sample, model):
    code, colour = neutral_code(model.code_sizes), np.array([0.5, 0.4, 0.3])
    dimmed = code.replace(illumination=0.5 * code.illumination)
    for each, brightness in ((code, 1.0), (dimmed, 0.5)):
        crop = jnp.broadcast_to(brightness * colour, (240, 240, 3)).astype(jnp.float32)
        found, skin = residuals(sample, model, each, crop)
        seen = found[:, 3] == 1
        assert seen.mean() > 0.8
        np.testing.assert_allclose(found[seen, :3], np.clip((colour - skin[seen]) / 0.1, -4, 4), atol=1e-4)


def test_vertices_that_are_not_seen_have_no_residual(sample, model):
    code = neutral_code(model.code_sizes)
    turned = code.replace(rotation=jnp.array([2.6, 0.0, 1.6]))
    found, _ = residuals(sample, model, turned, jnp.ones((240, 240, 3)))
    hidden = found[:, 3] == 0
    assert 0.2 < hidden.mean() < 0.8
    assert not found[hidden].any() and found[~hidden, :3].any(axis=1).all()


def test_both_details_of_a_model_have_the_same_sample(sample, model):
    whole = load_face_model()
    other = ResidualSample.of(whole)
    np.testing.assert_array_equal(np.asarray(whole.mean)[other.rows], np.asarray(model.mean)[sample.rows])


def test_gaps_are_in_units_of_the_expected_error():
    gaps = jnp.array([[[2.0, 0.0], [0.0, 30.0]]])
    whitening = jnp.broadcast_to(0.5 * jnp.eye(2), (1, 2, 2, 2))
    np.testing.assert_allclose(whitened_gaps(gaps, whitening), [[[1.0, 0.0], [0.0, 4.0]]])
    skewed = jnp.broadcast_to(jnp.array([[1.0, 0.0], [2.0, 1.0]]), (1, 2, 2, 2))
    found = whitened_gaps(jnp.array([[[0.5, 0.25], [0.0, 1.0]]]), skewed)
    np.testing.assert_allclose(found, [[[1.0, 0.25], [2.0, 1.0]]])


def test_no_gradient_of_what_is_looked_at_reaches_the_encoder(model):
    network = make_network("light", CorrectivesConfig("linear", 2, 2, inputs="residuals"), model)
    params = run_once(network.init, jax.random.key(0))
    params["final"] = jax.tree.map(lambda leaf: leaf + 0.01, params["final"])
    params["final"]["outputs"]["kernel"] = params["final"]["outputs"]["kernel"].at[-712:].set(0)  # the features' rows
    crops = jnp.asarray(np.random.default_rng(0).random((1, 240, 240, 3)), jnp.float32)

    def corrected(params):
        code, corrections = network.final_level(params, network.encode(params, crops), model, crops=crops)
        return jnp.sum(corrections.geometry**2) + jnp.sum(code.geometry)

    gradient = jax.jit(jax.grad(corrected))(params)
    assert not any(leaf.any() for leaf in jax.tree.leaves(gradient["encoder"]))
    for part in (gradient["final"]["residuals"], gradient["final"]["outputs"], gradient["correctives"]["geometry"]):
        assert any(leaf.any() for leaf in jax.tree.leaves(part))
