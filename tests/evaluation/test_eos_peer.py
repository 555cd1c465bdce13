"""eos-py as a peer, with a model made from the open one."""

from types import SimpleNamespace

import eos
import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.evaluation import eos_peer
from fml_jax.evaluation.eos_peer import TITLE, Eos
from fml_jax.evaluation.metrics import geometry_error
from fml_jax.face_model.files import load_face_model
from fml_jax.face_model.landmarks import CONTOUR
from fml_jax.importers.mesh_files import read_mesh

MODES = 12


@pytest.fixture(scope="module")
def model():
    return load_face_model(None, "face")


@pytest.fixture
def files(model, tmp_path):
    """The open model's first modes as eos' files; landmarks are the vertices on which the model's rest most."""
    mean, modes = np.asarray(model.mean, np.float32), np.asarray(model.identity)[:MODES].reshape(MODES, -1)
    _, lengths, basis = np.linalg.svd(modes, full_matrices=False)
    pca = eos.morphablemodel.PcaModel(
        mean.reshape(-1, 1), basis.T.copy(), lengths[:, None] ** 2, np.asarray(model.topology.triangles).tolist()
    )
    smile = eos.morphablemodel.Blendshape()
    smile.name, smile.deformation = "smile", np.asarray(model.expression)[0].reshape(-1, 1)
    whole = eos.morphablemodel.MorphableModel(pca, [smile], eos.morphablemodel.PcaModel())
    eos.morphablemodel.save_model(whole, str(tmp_path / "model.bin"))
    lines = [f'"{CONTOUR + k + 1}" = {vertex}' for k, vertex in enumerate(corners(model))]
    (tmp_path / "mapping.txt").write_text("\n".join(["[landmark_mappings]", *lines]))
    return [str(tmp_path / "model.bin"), str(tmp_path / "mapping.txt")]


def corners(model):
    chosen = np.asarray(model.landmarks.ibug_from_mediapipe)[CONTOUR:]
    weights = np.asarray(model.landmarks.fixed_weights)[chosen]
    vertices = np.asarray(model.landmarks.fixed_vertices)[chosen]
    return vertices[np.arange(len(chosen)), weights.argmax(1)]


def seen(model, shape):
    """iBUG's 68 points of a face from the front, pixels; the contour is not mapped."""
    points = np.zeros((68, 2))
    points[CONTOUR:] = shape[corners(model), :2] * [1, -1] + 150
    return points


def test_a_face_is_fitted_and_its_mesh_written_once(model, files, tmp_path, monkeypatch, unchecked):
    code = np.random.default_rng(0).normal(0, 2.5, MODES)
    true = np.asarray(model.mean) + np.tensordot(code, np.asarray(model.identity)[:MODES], 1)
    monkeypatch.setattr(eos_peer, "detect_landmarks", lambda rgb: np.zeros((478, 2)) if rgb.any() else None)
    monkeypatch.setattr(eos_peer, "ibug68", lambda found: seen(model, true))
    shown, wall = np.ones((300, 300, 3), np.uint8), np.zeros((300, 300, 3), np.uint8)
    cases = [SimpleNamespace(name="someone", rgb=shown), SimpleNamespace(name="wall", rgb=wall)]
    folder = Eos(files).write_meshes(cases, tmp_path)
    assert folder.name == TITLE and [path.name for path in folder.iterdir()] == ["someone.obj"]
    found = read_mesh(folder / "someone.obj").vertices
    members = np.ones(len(true), bool)
    errors = [geometry_error(np.asarray(each)[None], true[None], members) for each in (found, model.mean)]
    assert errors[0] < 0.95 * errors[1]  # eos prefers faces near the mean
    monkeypatch.setattr(Eos, "mesh", lambda *_: pytest.fail())
    assert Eos(files).write_meshes(cases, tmp_path) == folder


def test_files_that_are_not_eos_are_refused(files, tmp_path):
    with pytest.raises(InputError, match="give MODEL.bin,MAPPING.txt"):
        Eos(files[:1])
    with pytest.raises(InputError, match="nowhere.bin is no file"):
        Eos(["nowhere.bin", files[1]])
    (tmp_path / "broken.bin").write_bytes(b"no model")
    with pytest.raises(InputError, match="broken.bin or its other files cannot be read by eos-py"):
        Eos([str(tmp_path / "broken.bin"), files[1]]).mesh(np.zeros((68, 2)), (300, 300))
