"""The network as a pure function: under jit, vmap, sharding, and inside another training."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fml_jax
from fml_jax.errors import InputError
from fml_jax.image_formation.local_points import PointBasis
from fml_jax.networks.encoders import make_encoder
from fml_jax.networks.weights import load_weights, read_metadata, read_shapes, save_weights
from fml_jax.photos.crops import crop_photo
from fml_jax.reconstruction import prediction as prediction_module
from fml_jax.reconstruction.final_level import final_settings
from fml_jax.reconstruction.open_network import OPEN_ENCODER, OPEN_WEIGHTS
from fml_jax.reconstruction.prediction import expected_shapes
from tests.compiled_programs import run_once, xla_flags

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def network():
    return fml_jax.load_network()


@pytest.fixture(scope="module")
def crops(face):
    """Two crops of a face, the second shifted, uint8."""
    moved = face.crop_from_photo + np.array([[0, 0, 12.0], [0, 0, -7.0]])
    return np.stack([crop_photo(face.photo, affine) for affine in (face.crop_from_photo, moved)])


@pytest.fixture(scope="module")
def prediction(network, face, crops):
    return run_once(fml_jax.predict, network.params, face.model, crops)


def assert_close(one, other, atol):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=atol), one, other)


@pytest.fixture(scope="module")
def both_levels(network, face, crops):
    """The prediction of both levels, with solved colours."""
    return run_once(network.predict, network.params, face.model, crops, solver=fml_jax.ColourSolver.of(face.model))


def test_it_is_what_the_reconstructor_computes(both_levels, face):
    found = both_levels
    np.testing.assert_allclose(found.faces.vertices[0], face.vertices, atol=1e-3)
    np.testing.assert_allclose(found.faces.reflectance[0], face.reflectance, atol=1e-3)
    np.testing.assert_allclose(found.final_codes.illumination[0], face.illumination, atol=1e-3)
    assert float(found.scores[0]) > 0.9


def test_floats_and_bytes_give_the_same(network, face, crops, prediction):
    found = run_once(fml_jax.predict, network.params, face.model, jnp.asarray(crops) / 255)
    assert_close(found, prediction, 3e-3)  # crops differ in rounding, and vertices by up to 0.0015 pixels


def test_under_vmap_it_is_the_batch(network, face, crops, prediction):
    def single(params, model, crop):
        return jax.tree.map(lambda rows: rows[0], fml_jax.predict(params, model, crop[None]))

    found = run_once(jax.vmap(single, in_axes=(None, None, 0)), network.params, face.model, crops)
    assert_close(found, prediction, 2e-2)  # mm and pixels; float32 sums in another order


def test_inside_another_training_gradients_reach_all_three_arguments(network, face, crops):
    def loss(params, model, crops):
        found = fml_jax.predict(params, model, crops)
        return jnp.mean(found.faces.vertices**2) + jnp.mean(found.faces.reflectance) + jnp.mean(found.scores)

    arguments = network.params, face.model, jnp.asarray(crops[:1], jnp.float32) / 255
    gradients = run_once(jax.grad(loss, argnums=(0, 1, 2), allow_int=True), *arguments)
    kernel, mean, pixels = gradients[0]["code"]["kernel"], gradients[1].mean, gradients[2]
    for gradient in (kernel, mean, pixels):
        assert np.isfinite(gradient).all() and float(jnp.abs(gradient).max()) > 0


SHARDED = """
import sys, jax, numpy as np, fml_jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tests.compiled_programs import run_once
crops = np.load(sys.argv[1])
network, model = fml_jax.load_network(), fml_jax.load_face_model()
mesh = Mesh(jax.devices(), ("data",))
placed = jax.device_put(crops, NamedSharding(mesh, PartitionSpec("data")))
arguments = network.params, model, fml_jax.ColourSolver.of(model)
params, model, solver = jax.device_put(arguments, NamedSharding(mesh, PartitionSpec()))
found = run_once(network.predict, params, model, placed, solver=solver)
assert len(found.faces.vertices.sharding.device_set) == 2 and not found.faces.vertices.is_fully_replicated
np.save(sys.argv[2], found.faces.vertices)
"""


def test_a_batch_may_be_sharded_over_devices(both_levels, crops, tmp_path):
    np.save(tmp_path / "crops.npy", crops)
    setting = {"XLA_FLAGS": xla_flags("--xla_force_host_platform_device_count=2"), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", SHARDED, str(tmp_path / "crops.npy"), str(tmp_path / "found.npy")]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **setting}, timeout=300)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), both_levels.faces.vertices, atol=2e-2)


def test_the_packages_own_weights_which_are_not_checked_have_the_shapes_that_are_expected(face):
    settings = final_settings(OPEN_WEIGHTS, read_metadata(OPEN_WEIGHTS), face.model)
    encoder = make_encoder(OPEN_ENCODER, face.model.code_sizes.total)
    traced = settings.network(encoder, face.model, PointBasis.of(face.model))
    assert read_shapes(OPEN_WEIGHTS) == expected_shapes(traced, settings)


def test_weights_of_a_network_such_as_the_packages_own_are_read_without_tracing_one(tmp_path, network, face):
    with mock.patch.object(prediction_module, "expected_shapes", side_effect=AssertionError):
        copied = fml_jax.load_network(shutil.copy(OPEN_WEIGHTS, tmp_path), face.model)
    assert_close(copied.params, network.params, atol=0)
    assert_close(copied.final, network.final, atol=0)


def rewritten(path, *, metadata=None, **changed):
    params, about = load_weights(OPEN_WEIGHTS)
    save_weights(path, {**params, **changed}, {**about, **(metadata or {})})
    return path


def test_weights_of_another_encoder_are_refused(tmp_path):
    bias = load_weights(OPEN_WEIGHTS)[0]["Conv_3"]["bias"][:-1]
    kernel = load_weights(OPEN_WEIGHTS)[0]["Conv_3"]["kernel"]
    path = rewritten(tmp_path / "other.npz", Conv_3={"kernel": kernel, "bias": bias})
    with pytest.raises(InputError, match="other.npz: made for another deep encoder.*Conv_3/bias"):
        fml_jax.Reconstructor(path)


@pytest.mark.parametrize(
    "metadata, reason", [({"model": "other"}, "face model other"), ({"encoder": "x"}, "'x' is unk")]
)
def test_weights_of_another_face_model_or_an_unknown_encoder_are_refused(tmp_path, metadata, reason):
    with pytest.raises(InputError, match=f"w.npz: .*{reason}"):
        fml_jax.load_network(rewritten(tmp_path / "w.npz", metadata=metadata))


def test_skin_hardly_follows_the_exposure(reconstructor, face, crops):
    """Half the light makes skin half as bright in the photo, but not its predicted reflectance."""
    basis = PointBasis.of(reconstructor.model)
    tones = [
        np.asarray(basis.tone(reconstructor.codes(taken)[0].reflectance)).mean()
        for taken in (crops, (crops * 0.5).astype(np.uint8))
    ]
    assert abs(tones[1] / tones[0] - 1) < 0.06
    assert 0.4 < tones[0] < 0.7  # of light skin
