"""A learned model: what its file keeps, what faces it makes, and what is no such file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import neutral_code
from fml_jax.errors import InputError
from fml_jax.face_model import FaceModel, corrections, load_learned_model, random_face, save_learned_model
from fml_jax.face_model.correctives import Correctives, init_correctives
from fml_jax.face_model.files import OPEN_MODEL
from fml_jax.face_model.learned import delta_statistics

SIZES = (4, 3)


def learned(base, sizes=SIZES, nonlinearities=0):
    rng = np.random.default_rng(0)
    spaces = init_correctives(Correctives(base.vertex_count, nonlinearities), sizes, jax.random.key(0))
    statistics = delta_statistics(rng.normal(2.0, 1.0, size=(50, sum(sizes))) @ rng.normal(size=(sum(sizes),) * 2))
    return FaceModel(base, spaces, *map(jnp.asarray, statistics), nonlinearities=nonlinearities)


@pytest.mark.parametrize("sizes, nonlinearities", [((4, 3), 0), ((4, 3), 2), ((0, 3), 1), ((0, 0), 0)])
def test_the_file_keeps_everything(tiny_model, tmp_path, sizes, nonlinearities):
    model = learned(tiny_model, sizes, nonlinearities)
    save_learned_model(tmp_path / "m.npz", model)
    again = load_learned_model(tmp_path / "m.npz")
    assert jax.tree.structure(again) == jax.tree.structure(model) and again.sizes == sizes
    for kept, original in zip(jax.tree.leaves(again), jax.tree.leaves(model), strict=True):
        assert kept.dtype == original.dtype
        np.testing.assert_array_equal(kept, original)
    code = random_face(model, jax.random.key(1))
    for kept, original in zip(corrections(again, code), corrections(model, code), strict=True):
        np.testing.assert_array_equal(kept, original)


def test_random_faces_differ_and_lie_where_the_trained_ones_did(tiny_model):
    model = learned(tiny_model)
    codes = jax.vmap(lambda key: random_face(model, key))(jax.random.split(jax.random.key(2), 4000))
    deltas = np.concatenate([codes.geometry, codes.reflectance], axis=1)
    spread = np.sqrt(np.diag(model.delta_factor @ model.delta_factor.T))
    np.testing.assert_allclose(deltas.mean(0), model.delta_mean, atol=0.1 * spread.max())
    wanted = np.asarray(model.delta_factor @ model.delta_factor.T)
    np.testing.assert_allclose(np.cov(deltas.T), wanted, atol=0.1 * wanted.max())
    assert np.std(codes.base.identity) == pytest.approx(1, abs=0.05)
    np.testing.assert_array_equal(codes.base.rotation[0], neutral_code(tiny_model.code_sizes).rotation)


def test_a_random_face_is_base_plus_correction(tiny_model):
    model = learned(tiny_model)
    code = random_face(model, jax.random.key(3))
    added = corrections(model, code)
    assert jnp.abs(added.geometry).max() > 0.1 and jnp.abs(added.reflectance).max() > 0.01
    assert added.geometry.shape == added.reflectance.shape == (81, 3)


def test_statistics_are_mean_and_root_of_the_covariance():
    rows = np.random.default_rng(1).normal(size=(30, 5)) * np.arange(5) + 3
    mean, factor = delta_statistics(rows)
    np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(factor @ factor.T, np.cov(rows.T), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format_version": np.array(1)}, "format 1, this program reads 101"),
        ({"delta_mean": None}, "lacks 'delta_mean'"),
        ({"identity": np.zeros((3, 7, 3))}, "'identity' has shape"),
        ({"triangles": np.full((128, 3), 81)}, "'triangles' names vertices"),
        ({"correctives/geometry/modes": np.zeros((4, 80, 3))}, "'modes' has shape"),
        ({"correctives/geometry/offset": None}, "geometry correctives hold modes"),
        ({"correctives/geometry/modes": np.zeros((5, 81, 3))}, "8 corrective parameters, but statistics of 7"),
        ({"delta_mean": np.full(7, np.inf)}, "not finite"),
    ],
)
def test_a_file_that_does_not_fit_is_named(tiny_model, tmp_path, changes, message):
    save_learned_model(tmp_path / "m.npz", learned(tiny_model))
    with np.load(tmp_path / "m.npz") as file:
        arrays = dict(file) | changes
    np.savez(tmp_path / "m.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(InputError, match=f"m.npz.*{message}"):
        load_learned_model(tmp_path / "m.npz")


def test_a_base_model_is_no_learned_one():
    with pytest.raises(InputError, match="open_model.npz: face model format 2, this program reads 101"):
        load_learned_model(OPEN_MODEL)
