"""The table of geometry, on a scan that is a face of the model's span, so that its registration is known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fml_jax.errors import InputError
from fml_jax.evaluation import geometry_table as module
from fml_jax.evaluation import scans
from fml_jax.evaluation.comparison import MATCHED
from fml_jax.evaluation.face_meshes import inner_landmarks
from fml_jax.evaluation.geometry_table import PICTURES, geometry_table
from fml_jax.evaluation.job import Job
from fml_jax.evaluation.scan_renders import YAWS, chosen_views
from fml_jax.evaluation.scans import Registration, known_render, known_scan, list_scans, registration_of
from fml_jax.face_model.base import geometry
from fml_jax.face_model.files import load_face_model
from fml_jax.face_model.surfaces import Mesh
from fml_jax.fitting.surface_fit import Pose

POSE = Pose(1.1, Rotation.from_rotvec([0.05, -0.1, 0.02]).as_matrix(), np.array([12.0, -30.0, 45.0]))


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def vertices(model):
    """A face of the span, in a scan's place."""
    rng = np.random.default_rng(2)
    code = (0.8 * rng.normal(size=count).astype(np.float32) for count in model.code_sizes[:2])
    return POSE(np.asarray(geometry(model, next(code), 0 * next(code)), np.float64))


def write_face(model, vertices, path):
    """The face without the rest of the head, as a scanner would see it."""
    front = np.asarray(model.regions["face"])
    triangles = np.asarray(model.topology.triangles)
    triangles = triangles[front[triangles].all(1)]
    lines = ["v {:.5f} {:.5f} {:.5f}".format(*point) for point in vertices]
    path.write_text("\n".join([*lines, *("f {} {} {}".format(*corners) for corners in triangles + 1)]))


@pytest.fixture
def scan(model, vertices, tmp_path, monkeypatch):
    write_face(model, vertices, tmp_path / "someone.obj")
    monkeypatch.setattr(scans, "find_correspondence", lambda *_, **__: SimpleNamespace(bent=vertices, pose=POSE))
    return str(tmp_path / "someone.obj")


def test_levels_stand_beside_the_mean_face_and_the_best_of_the_span(scan, tmp_path, reconstructor, monkeypatch):
    monkeypatch.setattr(Job, "reconstructor", reconstructor)
    job = Job(tmp_path / "out", refine=False)
    table = geometry_table(job, [scan], None, views=1)
    levels = {row["level"]: row for row in table.rows}
    assert list(levels) == ["mean face", "best in span", "base level", "final level", "MediaPipe's mesh"]
    errors = {name: row["scan to mesh, mean"] for name, row in levels.items()}
    assert errors["best in span"] < 0.15 < errors["mean face"] < 4
    assert max(errors["base level"], errors["final level"], errors["MediaPipe's mesh"]) < 5
    assert levels["best in span"][MATCHED] < 0.3 < levels["mean face"][MATCHED]
    assert table.parts[0].rows[0][:2] == ("mean face", 1) and "1 faces, 1 pictures" in table.parts[0].caption
    assert table.sheet.shape[1] > 5 * 200 and (job.output / PICTURES / "someone_yaw+0_front.png").is_file()
    monkeypatch.setattr(module, "Surfaces", lambda *_: pytest.fail)  # nothing is measured twice
    again = geometry_table(job, [scan], None, views=1)
    assert json.dumps(again.rows) == json.dumps(table.rows)


def test_views_mix_turns_and_lights():
    views = chosen_views(20)
    assert len(set(views)) == 20 and (views[0].yaw, views[0].light) == (0, "front")
    assert {view.yaw for view in views[:5]} == set(YAWS) and len({view.light for view in views[:4]}) == 4


def test_the_region_of_a_scan_is_its_face_without_eyes(model, vertices):
    triangles = np.asarray(model.topology.triangles)
    lifted = vertices.copy()
    forehead = vertices[:, 1] > np.quantile(vertices[np.asarray(model.regions["face"]), 1], 0.9)
    lifted[forehead] += [0, 0, 30.0]
    face = known_scan(model, "someone", Mesh(lifted, triangles), found=Registration(vertices, POSE))
    compared = np.asarray(model.regions["face"]) & ~np.asarray(model.regions["eyes"])
    assert face.region[~compared & ~forehead].mean() < 0.01
    assert face.region[compared & forehead].mean() < 0.05
    assert face.region[compared & ~forehead].mean() > 0.85


def test_landmarks_beside_a_scan_start_its_registration_and_are_its_landmarks(model, vertices, tmp_path, monkeypatch):
    """Also of a scan that lies on its side."""
    lying = vertices @ Rotation.from_rotvec([0, 0, np.pi / 2]).as_matrix().T
    write_face(model, lying, tmp_path / "someone.obj")
    marks = inner_landmarks(model, lying)
    (tmp_path / "someone.landmarks.csv").write_text("\n".join(",".join(map(repr, row)) for row in marks.tolist()))
    given = []

    def found(*_, landmarks68):
        given.append(landmarks68)
        return SimpleNamespace(bent=lying, pose=POSE)

    monkeypatch.setattr(scans, "find_correspondence", found)
    mesh, registration = registration_of(model, tmp_path / "someone.obj", tmp_path / "out")
    assert (given[0][:17] == -1).all() and (given[0][17:] >= 0).all()
    assert np.linalg.norm(mesh.vertices[given[0][17:]] - marks, axis=1).max() < 5
    known = known_scan(model, "someone", mesh, found=registration)
    np.testing.assert_allclose(known.landmarks, marks)
    registration_of(model, tmp_path / "someone.obj", tmp_path / "out")
    assert len(given) == 1  # the first is kept
    (tmp_path / "someone.landmarks.csv").unlink()
    registration_of(model, tmp_path / "someone.obj", tmp_path / "out")
    assert given[1] is None  # but not for the scan without landmarks


def test_a_mesh_without_a_face_is_refused(model, vertices):
    far = Mesh(vertices + [0, 0, 500.0], np.asarray(model.topology.triangles))
    with pytest.raises(InputError, match="wall: the face of this scan was not found"):
        known_scan(model, "wall", far, found=Registration(vertices, POSE))


def test_the_truth_of_a_render_is_compared_as_it_is():
    model = load_face_model(None, "face")
    known = known_render(model, "render", np.asarray(model.mean))
    np.testing.assert_array_equal(known.registered, np.asarray(model.mean, np.float64))
    assert known.region.any() and known.landmarks.shape == (51, 3)


def test_names_of_scans_differ_and_places_exist(tmp_path):
    for name in ("a/face.obj", "b/face.ply", "a/other.obj"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert [path.name for path in list_scans([str(tmp_path / "a")])] == ["face.obj", "other.obj"]
    with pytest.raises(InputError, match="face is there twice"):
        list_scans([str(tmp_path / "a"), str(tmp_path / "b")])
    with pytest.raises(InputError, match="nowhere: no file"):
        list_scans([str(tmp_path / "nowhere")])
