"""Whatever happens to a synthetic crop, its code says the same as its picture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fml_jax.codes import unflatten_code
from fml_jax.corpus import camera_augmentation as augmentation
from fml_jax.corpus.face_labels import BACKGROUND, FACE, LABEL_SIZE, OCCLUDER, unknown_labels
from fml_jax.corpus.loader import CorpusBatches
from fml_jax.face_model.base import geometry
from fml_jax.face_model.files import load_face_model
from fml_jax.face_model.landmarks import landmarks68
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.illumination import rolled_light, shading
from fml_jax.image_formation.landmark_projection import project_landmarks
from fml_jax.image_formation.rotation import rotation_matrix
from fml_jax.synthetic.expressions import expression_units
from fml_jax.synthetic.faces import build_synthetic
from fml_jax.synthetic.rendering import render_synthetic


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def faces(model):
    return [render_synthetic(model, expression_units(model), np.random.default_rng([9, k])) for k in range(3)]


def as_render(face, labels=None):
    return augmentation.Render(face.crop, face.code, face.landmarks, unknown_labels() if labels is None else labels)


@jax.jit
def projections(model, before, after):
    """The landmarks of `after` with the contour of `before`, and with its own."""
    vertices = geometry(model, after.identity, after.expression)
    same_contour = landmarks68(model.landmarks, vertices, rotation_matrix(before.rotation))
    return project(to_camera(same_contour, after.rotation, after.translation)), project_landmarks(model, after)


@pytest.mark.parametrize("seed", range(6))
def test_the_landmarks_are_where_the_code_puts_them(model, faces, seed):
    face = faces[seed % len(faces)]
    _, code, landmarks, _ = augmentation.random_camera_change(as_render(face), np.random.default_rng(seed))
    assert np.linalg.norm(landmarks - face.landmarks, axis=1).mean() > 1  # something has happened
    before, after = (unflatten_code(jnp.asarray(each), model.code_sizes) for each in (face.code, code))
    moved, projected = jax.device_get(projections(model, before, after))
    # Coming nearer is not quite enlarging: at most 0.89 pixels here, at a scale of 0.91.
    assert np.linalg.norm(moved - landmarks, axis=1).max() < 0.95
    # The contour's points slide by up to 3 mm on the face for each degree of yaw. A pan changes the yaw, but not the
    # side from which the camera sees the face; the crop's landmarks do not slide. Seed 3 pans by half a degree: 1.8.
    assert np.linalg.norm(projected - landmarks, axis=1).max() < 2.0
    assert np.linalg.norm(projected - landmarks, axis=1).mean() < 0.55


def test_lamps_roll_with_the_picture():
    rng = np.random.default_rng(1)
    gamma, normals = rng.normal(size=(9, 3)), rng.normal(size=(40, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    turned = Rotation.from_rotvec([0, 0, 0.7]).apply(normals)
    rolled = rolled_light(gamma, 0.7)
    turned, rolled, normals, gamma = (jnp.asarray(each, jnp.float32) for each in (turned, rolled, normals, gamma))
    np.testing.assert_allclose(shading(turned, rolled), shading(normals, gamma), atol=1e-5)


def test_the_two_axis_angles_are_one_rotation():
    matrix_of = jax.jit(rotation_matrix)
    for seed in range(20):
        axis_angle = Rotation.random(random_state=seed).as_rotvec()
        near = augmentation.near_frontal(axis_angle)
        np.testing.assert_allclose(
            matrix_of(jnp.asarray(near, jnp.float32)), Rotation.from_rotvec(axis_angle).as_matrix(), atol=1e-5
        )
        assert np.linalg.norm(near - [np.pi, 0, 0]) <= np.linalg.norm(axis_angle - [np.pi, 0, 0]) + 1e-9


def test_gains_change_picture_and_light_alike(faces, monkeypatch):
    monkeypatch.setattr(augmentation, "COVERED", 0.0)
    for name in ("ROLL_STD", "SHIFT_STD", "SCALE_STD"):
        monkeypatch.setattr(augmentation, name, 0.0)
    face = faces[0]
    crop, code, _, _ = augmentation.random_camera_change(as_render(face), np.random.default_rng(3))
    gain = (code[230:] / face.code[230:]).reshape(9, 3)
    np.testing.assert_allclose(gain, np.broadcast_to(gain[:1], gain.shape), rtol=1e-4)
    dark = face.crop.max(-1) < 150
    seen = crop[dark].astype(float).mean(0) / face.crop[dark].mean(0)
    np.testing.assert_allclose(seen, gain[0], rtol=0.05)


def test_varied_batches_depend_on_seed_and_step_alone(model, tmp_path):
    build_synthetic(model, tmp_path, count=3, workers=1)
    one, other = (CorpusBatches(tmp_path, "all", 2, seed=4) for _ in range(2))
    first, second = one.batch(5), other.batch(5)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert (first["crop"] != CorpusBatches(tmp_path, "all", 2, seed=4, jitter=0.0).batch(5)["crop"]).any()


@pytest.fixture
def white_disc(faces):
    """A render that is white where its label is FACE and black elsewhere."""
    y, x = np.mgrid[:240, :240]
    white = np.hypot(x - 119.5, y - 110) < 60
    crop = np.where(white[:, :, None], np.full(3, 200), 0).astype(np.uint8)
    labels = np.where(white[::2, ::2], FACE, BACKGROUND).astype(np.uint8)
    return augmentation.Render(crop, faces[0].code, faces[0].landmarks, labels)


def test_labels_move_with_the_crop(white_disc, monkeypatch):
    monkeypatch.setattr(augmentation, "COVERED", 0.0)
    for seed in range(10):
        moved = augmentation.random_camera_change(white_disc, np.random.default_rng(seed))
        white = moved.crop.reshape(LABEL_SIZE, 2, LABEL_SIZE, 2, 3).mean(axis=(1, 3, 4)) > 60
        assert (white != (moved.labels == FACE)).mean() < 0.01
        assert (moved.labels != white_disc.labels).any()


def test_a_painted_rectangle_is_an_occluder_of_the_face_alone(white_disc, monkeypatch):
    hidden = 0
    for seed in range(20):
        monkeypatch.setattr(augmentation, "COVERED", 0.0)
        bare = augmentation.random_camera_change(white_disc, np.random.default_rng(seed))
        monkeypatch.setattr(augmentation, "COVERED", 1.0)
        covered = augmentation.random_camera_change(white_disc, np.random.default_rng(seed))
        changed = (bare.crop != covered.crop).any(axis=2)[::2, ::2]
        expected = np.where(changed & (bare.labels == FACE), OCCLUDER, bare.labels)
        assert (covered.labels != expected).mean() < 0.01
        hidden += (covered.labels == OCCLUDER).sum()
    assert hidden > 1000
