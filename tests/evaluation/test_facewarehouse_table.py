"""FaceWarehouse, on made-up meshes whose distances from the faces are known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fml_jax.errors import InputError
from fml_jax.evaluation import facewarehouse_table as module
from fml_jax.evaluation.facewarehouse_table import (
    PEOPLE,
    Template,
    facewarehouse_photos,
    facewarehouse_table,
    read_in_mm,
    surface_errors,
)
from fml_jax.evaluation.scans import KnownFace
from fml_jax.face_model.landmarks import CONTOUR
from fml_jax.face_model.surfaces import Mesh, at
from fml_jax.fitting.surface_fit import Pose
from tests.evaluation.benchmark_stubs import one_level, plane, stub_job, write_obj, write_photo

POSE = Pose(0.02, Rotation.from_rotvec([0.3, -0.8, 0.4]).as_matrix(), np.array([4.0, -7.0, 9.0]))


def template(triangles, count, region=None):
    """Landmarks are vertices, spread over the mesh."""
    corners = np.repeat(np.linspace(0, count - 1, 51).astype(int)[:, None], 3, axis=1)
    return Template(triangles, np.ones(count, bool) if region is None else region, corners, np.full((51, 3), 1 / 3))


def test_a_known_distance_is_found_in_any_size_and_place_and_only_in_the_region():
    """1.5 mm before and behind a plane in turn, and 40 mm where nothing is compared."""
    face = plane()
    count = len(face.vertices)
    region = np.abs(face.vertices).max(1) < 70
    gaps = np.where(region, 1.5 * (-1) ** np.arange(count), 40.0)
    truth = Mesh(face.vertices + gaps[:, None] * [0, 0, 1.0], face.triangles)
    shared = template(face.triangles, count, region)
    marks = np.where(region[shared.corners[:, :1]], face.vertices[shared.corners[:, 0]], np.nan)
    found = surface_errors(shared, truth, Mesh(POSE(face.vertices), face.triangles), landmarks=POSE(marks))
    assert found["scan to mesh, mean"] == pytest.approx(1.5, abs=1e-4)
    assert found["scan to mesh, SD"] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("unit", [1.0, 10.0, 100.0, 1000.0])
def test_meshes_of_any_unit_are_read_in_mm(tmp_path, unit):
    write_obj(tmp_path / "a.obj", plane().vertices / unit, plane().triangles)
    np.testing.assert_allclose(read_in_mm(tmp_path / "a.obj").vertices, plane().vertices, atol=1e-6 * unit)


def test_nine_people_are_taken_in_order_of_their_numbers(tmp_path):
    for number in range(11, 0, -1):
        write_obj(tmp_path / f"Tester_{number}" / "TrainingPose" / "pose_0.obj", *plane(3))
    write_obj(tmp_path / "Tester_1" / "TrainingPose" / "pose_10.obj", *plane(3))
    write_obj(tmp_path / "Tester_1" / "TrainingPose" / "pose_2.obj", *plane(3))
    write_photo(tmp_path / "Tester_1" / "TrainingPose" / "pose_2.jpg")
    photos = facewarehouse_photos(str(tmp_path))
    assert [photo.name for photo in photos[:4]] == [
        *(f"Tester_1/pose_{k}" for k in (0, 2, 10)),
        "Tester_2/pose_0",
    ]
    assert {photo.group for photo in photos} == {f"Tester_{k}" for k in range(1, PEOPLE + 1)}
    assert [photo.path.suffix for photo in photos[:3]] == [".png", ".jpg", ".png"]
    with pytest.raises(InputError, match="no Tester_1/TrainingPose/pose_0.obj"):
        facewarehouse_photos(str(tmp_path / "Tester_1"))


def test_the_table_has_the_mean_over_photos_and_names_what_is_left_out(tmp_path, tiny_model, monkeypatch):
    """The mesh of pose 0 is the face itself in another size, pose 1 is the mean, pose 2 no such mesh."""
    mean, triangles = np.asarray(tiny_model.mean, np.float64), np.asarray(tiny_model.topology.triangles)
    face = one_level(vertices=(mean + [0, 0, 3.0] * np.sin(mean[:, :1] / 20)).astype(np.float32))
    folder = tmp_path / "Tester_1" / "TrainingPose"
    write_obj(folder / "pose_0.obj", 0.008 * face.vertices, triangles)
    write_obj(folder / "pose_1.obj", 0.01 * mean, triangles)
    write_obj(folder / "pose_2.obj", *plane(8))
    for pose in range(3):
        write_photo(folder / f"pose_{pose}.png")
    marks = tiny_model.landmarks
    inner = np.asarray(marks.ibug_from_mediapipe)[CONTOUR:]
    shared = Template(
        triangles,
        np.ones(len(mean), bool),
        *(np.asarray(each)[inner] for each in (marks.fixed_vertices, marks.fixed_weights)),
    )
    monkeypatch.setattr(module, "template_of", lambda *_, **__: shared)
    job = stub_job(monkeypatch, tmp_path / "out", dict.fromkeys(("pose_0", "pose_1", "pose_2"), face))
    table = facewarehouse_table(job, str(tmp_path))
    errors = {(row["photo"][-1], row["level"]): row["scan to mesh, mean"] for row in table.rows}
    assert errors["0", "base level"] < 0.01 < errors["1", "base level"] and errors["1", "mean face"] < 0.01
    means = [np.mean([errors[pose, level] for pose in "01"]) for level in ("mean face", "base level")]
    assert [row[1] for row in table.parts[0].rows] == [f"{mean:.2f}" for mean in means]
    assert table.parts[0].caption == "1 people, 2 photos, mm"
    assert "other triangles than those of" in table.parts[1].rows[0][1]
    assert table.sheet is not None


def test_the_template_has_the_region_and_the_landmarks_of_the_registered_face(tmp_path, tiny_model, monkeypatch):
    face = plane()
    region, marks = face.vertices[:, 0] > 0, np.linspace([-80, -80, 5], [80, 75, 5], 51)
    known = KnownFace("a", face, region, marks, face.vertices, Pose(1.0, np.eye(3), np.zeros(3)))
    monkeypatch.setattr(module, "registered", lambda *_, **__: None)
    monkeypatch.setattr(module, "known_scan", lambda *_, **__: known)
    found = module.template_of(tiny_model, "a", face, folder=tmp_path)
    inside = np.abs(face.vertices).max(1) < 89
    np.testing.assert_array_equal(found.region, region & inside)  # not on the border
    np.testing.assert_allclose(at(face.vertices, found.corners, found.weights), marks * [1, 1, 0], atol=1e-6)


def test_a_mesh_that_shows_no_face_is_registered_once_for_all_photos(tmp_path, monkeypatch):
    folder, tries = tmp_path / "Tester_1" / "TrainingPose", []

    def fails(model, name, mesh, *, folder):
        tries.append(name)
        raise InputError(f"{name}: shows no face")

    for pose in range(3):
        write_obj(folder / f"pose_{pose}.obj", *plane(3))
        write_photo(folder / f"pose_{pose}.png")
    monkeypatch.setattr(module, "template_of", fails)
    with pytest.raises(InputError, match="none of 3 photos can be measured; Tester_1_pose_0: shows no face"):
        facewarehouse_table(stub_job(monkeypatch, tmp_path / "out", {}), str(tmp_path))
    assert tries == ["Tester_1_pose_0"]
