"""Synthetic faces: what they say of themselves is what they show, and the same again each time."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import unflatten_code
from fml_jax.corpus.card import open_corpus
from fml_jax.corpus.loader import CorpusBatches
from fml_jax.corpus.records import decode, read_shard
from fml_jax.errors import InputError
from fml_jax.face_model.base import geometry
from fml_jax.face_model.landmarks import landmarks68
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.illumination import shading
from fml_jax.image_formation.points import form_points
from fml_jax.image_formation.rotation import rotation_matrix, turn_angles
from fml_jax.image_formation.sphere import fibonacci_sphere
from fml_jax.ops.images import eight_bits, unit_range
from fml_jax.photos.crops import HAAR_SCALE_STD, HAAR_SHIFT_STD, crop_from_landmarks
from fml_jax.photos.landmarks import IBUG_FROM_MEDIAPIPE
from fml_jax.synthetic import rendering
from fml_jax.synthetic.faces import build_synthetic
from fml_jax.synthetic.light import sample_light
from fml_jax.synthetic.random_codes import sample_code, sample_rotation
from fml_jax.synthetic.rendering import PLAIN, render_synthetic

COUNT = 5


@pytest.fixture(scope="module")
def faces(model, units):
    return [render_synthetic(model, units, np.random.default_rng([0, k])) for k in range(COUNT)]


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    place = tmp_path_factory.mktemp("synthetic") / "faces"
    build_synthetic(model, place, COUNT, seed=0, workers=1, per_shard=2)
    return place


@jax.jit
def landmarks_of(model, code):
    """Landmarks as pixels, step by step."""
    vertices = geometry(model, code.identity, code.expression)
    on_mesh = landmarks68(model.landmarks, vertices, rotation_matrix(code.rotation))
    return project(to_camera(on_mesh, code.rotation, code.translation))


def test_types(faces):
    for face in faces:
        assert (face.crop.shape, face.crop.dtype) == ((240, 240, 3), np.uint8)
        assert (face.code.shape, face.code.dtype) == ((257,), np.float32)
        assert (face.landmarks.shape, face.landmarks.dtype) == ((68, 2), np.float32)
        assert face.crop.std() > 5


def test_landmarks_are_the_codes(model, faces):
    for face in faces:
        pixels = landmarks_of(model, unflatten_code(face.code, model.code_sizes))
        np.testing.assert_allclose(face.landmarks, pixels, atol=1e-2)


def test_crop_shows_the_code(model, units, monkeypatch):
    """Where nothing hides the skin, the crop has the colours that the code's points have."""
    monkeypatch.setattr(rendering, "photographed", lambda rng, picture: eight_bits(picture))
    face = render_synthetic(model, units, np.random.default_rng(3), style=PLAIN)
    points = jax.jit(form_points)(model, unflatten_code(face.code, model.code_sizes))
    inner = np.asarray(points.visible & model.regions["nose"]) & (np.asarray(points.normals)[:, 2] < -0.5)
    x, y = np.rint(np.asarray(points.pixels)[inner]).astype(int).T
    expected = np.clip(np.asarray(points.colours)[inner], 0, 1)
    assert np.median(np.abs(unit_range(face.crop[y, x]) - expected)) < 0.02


def test_framing_is_that_of_photos(model, units):
    """Landmarks' boxes fill crops as `crop_from_landmarks` makes them, give or take the jitter."""
    rng = np.random.default_rng(1)
    shifts, scales = [], []
    for _ in range(12):
        code = sample_code(model, units, rng)
        ideal = crop_from_landmarks(np.asarray(landmarks_of(model, code), np.float64))
        scales.append(np.log(ideal[0, 0]))
        shifts.append((ideal @ [119.5, 119.5, 1] - 119.5) / 240)
    assert np.abs(scales).max() < 4 * HAAR_SCALE_STD and np.std(scales) > 0.2 * HAAR_SCALE_STD
    assert (np.abs(shifts).max(0) < 5 * np.array(HAAR_SHIFT_STD)).all()


def test_rotations_stay_near_the_neutral_one():
    """A head that turns through the camera's direction has a code that moves, not jumps."""
    rng = np.random.default_rng(2)
    for _ in range(200):
        rotation = sample_rotation(rng)
        assert np.linalg.norm(rotation - [np.pi, 0, 0]) < 2.2
        yaw, pitch, roll = turn_angles(rotation_matrix(jnp.asarray(rotation, jnp.float32)))
        assert abs(yaw) < 60.1 and abs(pitch) < 20.1 and abs(roll) < 20.1


def test_light_is_positive_where_it_is_seen():
    rng = np.random.default_rng(4)
    normals = fibonacci_sphere(300)
    seen = jnp.asarray(normals[normals[:, 2] < -0.2], jnp.float32)
    for _ in range(30):
        light = np.asarray(shading(seen, jnp.asarray(sample_light(rng, 0.5).gamma, jnp.float32)))
        assert light.min() > 0.05 and 0.3 < light.mean() < 1.5


def test_the_mesh_has_the_landmarks(faces):
    """Inner landmarks are fixed points of MediaPipe's mesh; the nose is nearer than the ears."""
    for face in faces:
        np.testing.assert_allclose(face.mesh[IBUG_FROM_MEDIAPIPE[17:], :2], face.landmarks[17:], atol=1e-2)
        assert face.mesh[4, 2] < face.mesh[[127, 356], 2].mean() - 20


def test_build_stores_what_render_draws(faces, folder):
    corpus = open_corpus(folder)
    examples = [decode(record) for path in corpus.shard_paths() for record in read_shard(path)]
    assert len(examples) == COUNT == corpus.card["examples"] == corpus.card["training"]
    for face, example in zip(faces, examples, strict=True):
        assert np.abs(example.window.astype(int) - face.crop).mean() < 4
        np.testing.assert_array_equal(example.code, face.code)
        np.testing.assert_array_equal(example.landmarks68, face.landmarks)
        np.testing.assert_array_equal(example.landmarks478, face.mesh)
        np.testing.assert_array_equal(example.labels, face.labels)
        assert example.confidence.min() == 1 and example.valid.all()


def test_processes_draw_the_same(model, folder, tmp_path):
    build_synthetic(model, tmp_path, COUNT, seed=0, workers=2, per_shard=2)
    for path in folder.rglob("*"):
        if path.is_file():
            assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path


def test_another_recipe_is_refused(model, folder):
    with pytest.raises(InputError, match="other items, settings"):
        build_synthetic(model, folder, COUNT, seed=1, workers=1, per_shard=2)


def test_batches_carry_codes(faces, folder):
    batch = CorpusBatches(folder, "all", COUNT, jitter=0.0).batch(0)
    assert batch["has_code"].all() and batch["is_face"].all() and batch["mask"].all()
    order = [int(np.flatnonzero([(face.code == code).all() for face in faces])[0]) for code in batch["code"]]
    assert sorted(order) == list(range(COUNT))
    for k, crop, landmarks in zip(order, batch["crop"], batch["landmarks"], strict=True):
        np.testing.assert_array_equal(landmarks, faces[k].landmarks)
        assert np.abs(crop.astype(int) - faces[k].crop).mean() < 4


@pytest.fixture
def backgrounds(tmp_path):
    """Two photos, and a file that is none."""
    folder = tmp_path / "backgrounds"
    folder.mkdir()
    for name, grey in (("a.png", 60), ("b.png", 180)):
        cv2.imwrite(str(folder / name), np.full((64, 64, 3), grey, np.uint8))
    (folder / "letter.jpg").write_text("Dear reader")
    return folder


def test_background_photos_that_cannot_be_read_are_told_and_left_out(model, backgrounds, tmp_path, caplog):
    with caplog.at_level("WARNING", logger="absl"):
        card = build_synthetic(model, tmp_path / "faces", 1, workers=1, background_folder=backgrounds)
    assert card["examples"] == 1 and "letter.jpg: not a picture" in caplog.text


def test_other_background_photos_are_another_plan(model, backgrounds, tmp_path):
    build_synthetic(model, tmp_path / "faces", 1, workers=1, background_folder=backgrounds)
    cv2.imwrite(str(backgrounds / "c.png"), np.full((64, 64, 3), 120, np.uint8))
    with pytest.raises(InputError, match="other settings"):
        build_synthetic(model, tmp_path / "faces", 1, workers=1, background_folder=backgrounds)


def test_the_page_speaks_of_faces(folder):
    page = (folder / "index.html").read_text()
    assert f"<h1>{COUNT} synthetic faces</h1>" in page and "known exactly" in page
    assert not any(word in page for word in ("people", "framed by the detector", "mean confidence", 'class="scale"'))
