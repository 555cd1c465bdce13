"""Morphable models for others: read as the Basel Face Model's users read theirs."""

import h5py
import jax
import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.export.morphable import export_face_model, morphable_model
from fml_jax.face_model.correctives import Correctives, init_correctives
from fml_jax.face_model.learned import FaceModel, save_learned_model
from tests.launchers.launching import launch


@pytest.fixture(scope="module")
def learned(tiny_model):
    """A learned model with correlated, shifted δ and an offset."""
    correctives = Correctives(tiny_model.vertex_count)
    theta = init_correctives(correctives, (3, 2), jax.random.key(1))
    rng = np.random.default_rng(0)
    return FaceModel(
        tiny_model, theta, rng.normal(size=5).astype(np.float32), rng.normal(size=(5, 5)).astype(np.float32), 0
    )


def covariance(principal):
    scaled = principal.basis * np.sqrt(principal.variance)
    return scaled @ scaled.T


def test_principal_axes_have_the_base_models_distribution(tiny_model):
    exported = morphable_model(tiny_model)
    for principal, modes in ((exported.shape, tiny_model.identity), (exported.expression, tiny_model.expression)):
        flat = np.asarray(modes, np.float64).reshape(len(modes), -1)
        np.testing.assert_allclose(covariance(principal), flat.T @ flat, atol=1e-6)
        np.testing.assert_allclose(principal.basis.T @ principal.basis, np.eye(len(flat)), atol=1e-6)
        assert (np.diff(principal.variance) <= 0).all()


def test_a_learned_model_adds_its_correctives(learned):
    exported = morphable_model(learned)
    modes = np.asarray(learned.correctives["geometry"]["modes"], np.float64)
    factor = np.asarray(learned.delta_factor, np.float64)[:3]
    identity = np.asarray(learned.base.identity, np.float64).reshape(3, -1)
    np.testing.assert_allclose(
        covariance(exported.shape), identity.T @ identity + modes.T @ factor @ factor.T @ modes, atol=1e-5
    )
    offset = np.asarray(learned.correctives["geometry"]["offset"]).reshape(-1)
    mean = np.asarray(learned.base.mean).reshape(-1) + np.asarray(learned.delta_mean)[:3] @ modes + offset
    np.testing.assert_allclose(exported.shape.mean, mean, atol=1e-5)


def test_an_h5_file_reads_as_the_basel_face_model(tiny_model, tmp_path):
    """Vertices are mean + basis · √variance · α, x, y and z of a vertex adjacent; cells are [3, T]."""
    path = export_face_model(tmp_path / "a.h5", tiny_model)
    with h5py.File(path) as file:
        for kind, size in (("shape", 3), ("expression", 2), ("color", 3)):
            mean, basis = file[f"{kind}/model/mean"][:], file[f"{kind}/model/pcaBasis"][:]
            assert mean.shape == (3 * 81,) and basis.shape == (3 * 81, size)
            assert file[f"{kind}/model/pcaVariance"].shape == (size,)
        np.testing.assert_array_equal(file["shape/representer/cells"][:].T, tiny_model.topology.triangles)
        np.testing.assert_allclose(file["shape/model/mean"][:].reshape(-1, 3), tiny_model.mean, rtol=1e-6)
        # The nearest face of the exported model to one of ours is that face.
        ours = np.asarray(tiny_model.mean + 1.5 * tiny_model.identity[1]).reshape(-1)
        basis, mean = file["shape/model/pcaBasis"][:], file["shape/model/mean"][:]
        np.testing.assert_allclose(mean + basis @ (basis.T @ (ours - mean)), ours, atol=1e-3)


def test_an_npz_file_has_the_same_numbers(tiny_model, tmp_path):
    exported = morphable_model(tiny_model)
    with np.load(export_face_model(tmp_path / "a.npz", tiny_model)) as file:
        np.testing.assert_allclose(file["color_basis"], exported.color.basis, atol=1e-6)
        assert set(file) >= {"shape_mean", "expression_variance", "triangles", "uv", "name", "format_version"}


def test_what_cannot_be_exported_is_named(tiny_model, learned, tmp_path):
    with pytest.raises(InputError, match="a.mat: no format of morphable models; let the name end in .npz or .h5"):
        export_face_model(tmp_path / "a.mat", tiny_model)
    with pytest.raises(InputError, match="tiny has correctives with ReLU layers"):
        export_face_model(tmp_path / "a.h5", learned.replace(nonlinearities=1))
    assert not list(tmp_path.iterdir())


def test_the_command_exports_a_learned_model(learned, tmp_path):
    save_learned_model(tmp_path / "learned.npz", learned)
    process = launch("export", f"--model={tmp_path / 'learned.npz'}", f"--output={tmp_path / 'a.h5'}")
    assert process.returncode == 0 and "a.h5: " in process.stdout
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["shape/model/pcaBasis"].shape == (3 * 81, 6) and file.attrs["name"] == "tiny"
