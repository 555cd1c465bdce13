"""Landmarks and masks on other faces and other meshes, measured where their true places are known."""

import numpy as np
import pytest

from benchmarks.landmark_transfer import errors, on_another_mesh
from fml_jax.face_model import landmarks68, load_face_model
from fml_jax.face_model.surfaces import Mesh
from fml_jax.importers.correspondence import find_correspondence
from fml_jax.importers.sources import import_face_model
from tests.importers import layouts

FRONTAL = np.diag([1.0, -1.0, -1.0])
HEAD = 11248  # vertices of head and neck, which ICT-FaceKit and the open model share


@pytest.fixture(scope="module")
def model():
    return load_face_model()


def test_landmarks_find_their_places_on_another_mesh_with_a_border(model):
    rng = np.random.default_rng(3)
    shape = np.asarray(model.mean) + np.tensordot(rng.standard_normal(80), np.asarray(model.identity), 1)
    other = on_another_mesh(model, shape, rng)
    found = find_correspondence(model, *other.mesh)
    off = errors(model, found, other.mesh, true=other.true, known=other.of_skin)
    inner = np.asarray(model.landmarks.ibug_from_mediapipe)[17:]
    assert np.nanmean(off) < 1.2 and np.nanmean(off[inner]) < 1.0 and np.nanmax(off[inner]) < 4.0  # mm


def test_landmarks_find_their_places_on_an_identity_of_ict_facekit(model, ict_facekit):
    raw = ict_facekit
    shape = (raw.mean + raw.identity[1]).astype(np.float64)
    found = find_correspondence(model, shape, raw.triangles)
    true = np.zeros((model.vertex_count, 3))
    true[:HEAD] = shape[:HEAD]
    known = np.arange(model.vertex_count) < HEAD
    off = errors(model, found, Mesh(shape, raw.triangles), true=true, known=known)
    assert np.nanmean(off) < 1.2  # mm


def test_a_folder_of_meshes_in_metres_and_other_axes_becomes_a_model(model, tmp_path):
    people = layouts.open_population(3, 1, 1)
    rng = np.random.default_rng(0)
    folder = tmp_path / "meshes"
    folder.mkdir()
    for k in range(6):
        shape = people.mean + np.tensordot(rng.standard_normal(3), people.identity, 1)
        turned = shape[:, [0, 2, 1]] * [1, -1, 1] / 1000  # z up, in metres
        layouts.write_ply(folder / f"{k}.ply", turned, people.triangles, people.colour + 0.01 * k)
    numbers = np.asarray(model.landmarks.ibug_from_mediapipe)
    best = np.asarray(model.landmarks.fixed_weights).argmax(1)
    marks = np.take_along_axis(np.asarray(model.landmarks.fixed_vertices), best[:, None], 1)[numbers, 0]
    points = tmp_path / "points.txt"
    points.write_text(" ".join(map(str, [-1, *marks[1:]])))
    done = import_face_model("meshes", folder, tmp_path / "mine.npz", landmarks=points)
    mine = load_face_model(tmp_path / "mine.npz")
    assert any("1000 mm" in line for line in done.report) and any("turned by" in line for line in done.report)
    assert mine.identity.shape[0] in (3, 4, 5) and mine.expression.shape[0] == 64
    strength = np.sqrt((np.asarray(mine.identity) ** 2).sum((1, 2)))
    assert strength[3:].max(initial=0) < 0.05 * strength[0]
    assert abs(np.ptp(np.asarray(mine.mean)[:, 1]) - np.ptp(people.mean[:, 1])) < 12
    # The points of the file are the model's landmarks.
    own = np.asarray(landmarks68(mine.landmarks, mine.mean, FRONTAL))[17:]
    np.testing.assert_allclose(own, np.asarray(mine.mean)[marks[17:]], atol=1e-3)
    np.testing.assert_allclose(mine.reflectance_mean, np.clip(people.colour + 0.025, 0, 1), atol=0.02)
    # Carried expressions move the jaw down, in mm.
    opened = np.tensordot(mine_jaw(tmp_path / "mine.npz"), np.asarray(mine.expression), 1)
    assert opened[:, 1].min() < -10


def mine_jaw(path):
    """The code of jawOpen in a model's file."""
    from fml_jax.face_model.files import load_arkit_codes

    return load_arkit_codes(path)["jawOpen"]
