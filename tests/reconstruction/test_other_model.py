"""The same face in another model: what both can express comes back, and the residual is in mm."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import fml_jax
from fml_jax.errors import InputError
from fml_jax.face_model import load_face_model
from fml_jax.reconstruction.levels import with_code
from tests.importers import layouts


@pytest.fixture(scope="module")
def face():
    """A face of some identity, expression and reflectance, on a grey photo."""
    reconstructor = fml_jax.Reconstructor.default()
    photo = np.full((300, 300, 3), 128, np.uint8)
    found = reconstructor(photo, boxes=[(60, 60, 240, 240)])[0]
    rng = np.random.default_rng(1)
    code = found.code.replace(
        identity=jnp.asarray(0.8 * rng.normal(size=80), jnp.float32),
        expression=jnp.asarray(0.3 * rng.normal(size=64), jnp.float32),
        reflectance=jnp.asarray(0.5 * rng.normal(size=80), jnp.float32),
    )
    return with_code(dataclasses.replace(found, final_code=None), code)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """The open model with its vertices in another order and its origin 10 mm higher, as an imported file."""
    from fml_jax.importers.sources import import_face_model

    people = layouts.open_population()
    order = np.random.default_rng(0).permutation(len(people.mean))
    place = np.argsort(order)
    moved = layouts.Population(
        people.mean[order] - np.float32([0, 10, 0]),
        place[people.triangles].astype(np.int32),
        people.identity[:, order],
        people.expression[:, order],
        people.colour[order],
        people.colours[:, order],
    )
    folder = tmp_path_factory.mktemp("other")
    import_face_model("bfm2017", layouts.write_bfm2017(folder / "other.h5", moved), folder / "other.npz")
    return folder / "other.npz", order


@pytest.fixture(scope="module")
def found(face, other):
    """The face in that model."""
    return face.in_model(other[0])


def test_a_face_of_a_shared_span_comes_back(face, found, other):
    _, order = other
    assert found.face.model.name.startswith("other-")
    assert found.residual < 0.2  # mm
    members = np.asarray(found.face.model.regions["face"])
    # The same picture, whatever the two model spaces.
    gaps = np.linalg.norm(found.face.projected - face.projected[order], axis=1)[members]
    assert gaps.mean() < 1.0  # pixels of a face of 180
    skin = np.asarray(found.face.model.regions["skin"])
    assert np.abs(found.face.reflectance - face.reflectance[order])[skin].mean() < 0.02
    assert np.isfinite(found.distances).sum() > 1000 and found.distances[np.isfinite(found.distances)].mean() == (
        pytest.approx(found.residual)
    )


def test_the_mean_face_alone_is_farther_away(found):
    mean = with_code(found.face, found.face.code.replace(identity=jnp.zeros(80), expression=jnp.zeros(64)))
    visible = np.isfinite(found.distances)
    assert np.linalg.norm(mean.vertices - found.face.vertices, axis=1)[visible].mean() > 5 * found.residual


def test_what_is_no_face_model_is_refused(face, tmp_path):
    with pytest.raises(InputError, match="no such face model file"):
        face.in_model(tmp_path / "missing.npz")


def test_a_face_in_another_model_is_saved_pickled_and_edited(found, other, tmp_path):
    import pickle

    moved = found.face
    assert len(pickle.dumps(moved)) < 2e6
    again = pickle.loads(pickle.dumps(moved))
    assert again.model is load_face_model(other[0])
    assert moved.save(tmp_path / "face.glb")[0].stat().st_size > 1e5
    smiling = moved.with_expression({"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0})
    assert smiling.expression_weights["mouthSmileLeft"] > 0.5
    assert moved.viewer(tmp_path / "face.html").stat().st_size > 1e5
