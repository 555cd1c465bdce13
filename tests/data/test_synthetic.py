"""Synthetic faces: what they say of themselves is what they show, and the same again each time."""

import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import neutral_code, unflatten_code
from fml_jax.data import synthetic
from fml_jax.data.crops import HAAR_SCALE_STD, HAAR_SHIFT_STD, crop_from_landmarks
from fml_jax.data.synthetic import SyntheticBatches, build_synthetic, render_synthetic, sample_code
from fml_jax.data.synthetic_expression import expression_units
from fml_jax.errors import InputError
from fml_jax.face_model import load_face_model
from fml_jax.face_model.base import geometry
from fml_jax.face_model.landmarks import landmarks68
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.illumination import shading
from fml_jax.image_formation.points import form_points
from fml_jax.image_formation.rotation import rotation_matrix, turn_angles

COUNT = 5


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def faces(model):
    return [render_synthetic(model, expression_units(model), np.random.default_rng([0, k])) for k in range(COUNT)]


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    place = tmp_path_factory.mktemp("synthetic") / "faces"
    build_synthetic(model, place, COUNT, seed=0, workers=1)
    return place


def test_types(faces):
    for face in faces:
        assert (face.crop.shape, face.crop.dtype) == ((240, 240, 3), np.uint8)
        assert (face.code.shape, face.code.dtype) == ((257,), np.float32)
        assert (face.landmarks.shape, face.landmarks.dtype) == ((68, 2), np.float32)
        assert face.crop.std() > 5


def test_landmarks_are_the_codes(model, faces):
    for face in faces:
        code = unflatten_code(face.code)
        vertices = geometry(model, code.identity, code.expression)
        on_mesh = landmarks68(model.landmarks, vertices, rotation_matrix(code.rotation))
        pixels = project(to_camera(on_mesh, code.rotation, code.translation))
        np.testing.assert_allclose(face.landmarks, pixels, atol=1e-2)


def test_crop_shows_the_code(model, monkeypatch):
    """Where nothing hides the skin, the crop has the colours that the code's points have."""
    monkeypatch.setattr(synthetic.scene, "add_occluders", lambda rng, picture, landmarks: picture)
    monkeypatch.setattr(synthetic.scene, "photographed", lambda rng, picture: picture)
    face = render_synthetic(model, expression_units(model), np.random.default_rng(3))
    points = form_points(model, unflatten_code(face.code))
    inner = np.asarray(points.visible & model.regions["nose"]) & (np.asarray(points.normals)[:, 2] < -0.5)
    x, y = np.rint(np.asarray(points.pixels)[inner]).astype(int).T
    expected = np.clip(np.asarray(points.colours)[inner], 0, 1)
    assert np.median(np.abs(face.crop[y, x] - expected)) < 0.02


def test_framing_is_that_of_photos(model):
    """Landmarks' boxes fill crops as `crop_from_landmarks` makes them, give or take the jitter."""
    rng, units = np.random.default_rng(1), expression_units(model)
    shifts, scales = [], []
    for _ in range(12):
        code = sample_code(model, units, rng)
        vertices = geometry(model, code.identity, code.expression)
        on_mesh = landmarks68(model.landmarks, vertices, rotation_matrix(code.rotation))
        ideal = crop_from_landmarks(np.asarray(project(to_camera(on_mesh, code.rotation, code.translation)), np.float64))
        scales.append(np.log(ideal[0, 0]))
        shifts.append((ideal @ [119.5, 119.5, 1] - 119.5) / 240)
    assert np.abs(scales).max() < 4 * HAAR_SCALE_STD and np.std(scales) > 0.2 * HAAR_SCALE_STD
    assert (np.abs(shifts).max(0) < 5 * np.array(HAAR_SHIFT_STD)).all()


def test_rotations_stay_near_the_neutral_one():
    """A head that turns through the camera's direction has a code that moves, not jumps."""
    rng = np.random.default_rng(2)
    for _ in range(200):
        rotation = synthetic._sample_rotation(rng)
        assert np.linalg.norm(rotation - np.asarray(neutral_code().rotation)) < 2.2
        yaw, pitch, roll = turn_angles(rotation_matrix(jnp.asarray(rotation, jnp.float32)))
        assert abs(yaw) < 60.1 and abs(pitch) < 20.1 and abs(roll) < 20.1


def test_light_is_positive_where_it_is_seen():
    rng = np.random.default_rng(4)
    normals = synthetic._sphere(300)
    seen = jnp.asarray(normals[normals[:, 2] < -0.2], jnp.float32)
    for _ in range(30):
        light = np.asarray(shading(seen, jnp.asarray(synthetic._sample_illumination(rng, 0.5), jnp.float32)))
        assert light.min() > 0.05 and 0.3 < light.mean() < 1.5


def test_build_stores_what_render_draws(faces, folder):
    crops, codes, landmarks = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("crops", "codes", "landmarks"))
    for k, face in enumerate(faces):
        np.testing.assert_array_equal(crops[k], face.crop)
        np.testing.assert_array_equal(codes[k], face.code)
        np.testing.assert_array_equal(landmarks[k], face.landmarks)


def test_build_goes_on_where_it_stopped(model, folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = np.load(folder / "done.npy", mmap_mode="r+")
    crops = np.load(folder / "crops.npy", mmap_mode="r+")
    done[[1, 3]] = False
    crops[[1, 3]] = 0
    crops[2, 0, 0] += 1  # a finished face is not drawn again
    with pytest.raises(InputError, match="2 faces are missing"):
        SyntheticBatches(folder, 2)
    build_synthetic(model, folder, COUNT, seed=0, workers=1)
    assert done.all()
    crops[2, 0, 0] -= 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_processes_draw_the_same(model, folder, tmp_path):
    build_synthetic(model, tmp_path, COUNT, seed=0, workers=2)
    for name in ("crops.npy", "codes.npy", "landmarks.npy", "recipe.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_another_recipe_is_refused(model, folder):
    with pytest.raises(InputError, match="another recipe"):
        build_synthetic(model, folder, COUNT, seed=1, workers=1)


def test_batches(folder, tmp_path):
    batches = SyntheticBatches(folder, 3, seed=5)
    batch = batches.batch(0)
    assert {name: (part.shape, part.dtype.name) for name, part in batch.items()} == {
        "crop": ((3, 240, 240, 3), "uint8"),
        "mask": ((3, 240, 240), "uint8"),
        "landmarks": ((3, 68, 2), "float32"),
        "confidence": ((3, 68), "float32"),
        "is_face": ((3,), "float32"),
        "code": ((3, 257), "float32"),
        "has_code": ((3,), "float32"),
    }
    for name in batch:
        np.testing.assert_array_equal(SyntheticBatches(folder, 3, seed=5).batch(0)[name], batch[name])
    # Five batches of three are three epochs: every face three times.
    codes = np.concatenate([batches.batch(step)["code"] for step in range(5)])
    _, counts = np.unique(codes, axis=0, return_counts=True)
    assert counts.tolist() == [3] * COUNT
    with pytest.raises(InputError, match="no synthetic faces there"):
        SyntheticBatches(tmp_path, 3)
