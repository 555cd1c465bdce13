"""NoW, on made-up scans whose distances from the faces are known."""

import dataclasses
import json

import numpy as np
import pytest
import trimesh
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from fml_jax.errors import InputError
from fml_jax.evaluation.face_meshes import inner_landmarks
from fml_jax.evaluation.now_table import Scan, distances_from, in_ball, now_photos, now_table
from fml_jax.evaluation.scan_alignment import by_closest_points, by_landmarks
from fml_jax.evaluation.scan_landmarks import SEVEN_INNER
from fml_jax.face_model.surfaces import Mesh
from fml_jax.fitting.surface_fit import Pose
from tests.evaluation.benchmark_stubs import one_level, plane, stub_job, write_obj, write_photo, write_picked

POSE = Pose(0.02, Rotation.from_rotvec([0.3, -0.8, 0.4]).as_matrix(), np.array([4.0, -7.0, 9.0]))
SEVEN = np.array([[-45.0, 30, 0], [-15, 30, 0], [15, 30, 0], [45, 30, 0], [0, -10, 0], [-25, -40, 0], [25, -40, 0]])


def test_a_known_distance_is_found_whatever_size_and_place_the_face_has():
    """Points of a scan lie 1.5 mm before and behind a plane in turn; the face is the plane, fifty times smaller."""
    face = plane()
    before = np.where(np.arange(len(face.vertices)) % 2, 1.5, -1.5)
    scan = Scan(face.vertices * 0.8 + np.stack([0 * before, 0 * before, before], axis=1), SEVEN)
    found = distances_from(scan, Mesh(POSE(face.vertices), face.triangles), POSE(SEVEN))
    np.testing.assert_allclose(found, 1.5, atol=1e-6 + 0.01)
    assert found.mean() == pytest.approx(1.5, abs=1e-4)


def test_the_alignment_has_the_least_squared_distances_by_trimesh_and_scipy():
    face = plane()
    x, y, _ = face.vertices.T
    face = face._replace(vertices=np.stack([x, y, 40 * np.cos(x / 50) * np.cos(y / 60)], axis=1))
    rng = np.random.default_rng(0)
    corners = face.vertices[face.triangles[rng.integers(len(face.triangles), size=50)]]
    points = (corners * rng.dirichlet([1, 1, 1], 50)[..., None]).sum(1) + rng.normal(0, 1, (50, 3))
    pose = by_closest_points(face, points, by_landmarks(SEVEN, SEVEN + 1.0))

    def gaps(change):
        moved = (points - pose.shift - change[3:6]) @ pose.rotation / pose.scale / np.exp(change[6])
        surface = trimesh.Trimesh(face.vertices, face.triangles, process=False)
        turned = moved @ Rotation.from_rotvec(change[:3]).as_matrix()
        return pose.scale * np.exp(change[6]) * trimesh.proximity.closest_point_naive(surface, turned)[1]

    own = distances_from(Scan(points, SEVEN + 1.0), face, SEVEN)
    np.testing.assert_allclose(own, gaps(np.zeros(7)), atol=1e-6)
    best = least_squares(gaps, np.zeros(7), max_nfev=5)
    assert (own**2).sum() <= 2 * best.cost * 1.01


def test_the_ball_follows_from_the_landmarks():
    centre, radius = np.array([0, -10 + 0.3 * 40, 0]), 1.4 * (90 + 40) / 2
    points = centre + np.outer(np.linspace(0, 120, 500), [0.6, 0.0, 0.8])
    np.testing.assert_array_equal(in_ball(points, SEVEN), np.linalg.norm(points - centre, axis=1) <= radius)
    assert in_ball(points, SEVEN).sum() not in (0, 500)


def face_with_expression(tiny_model, expression):
    """A face and its vertices without expression."""
    face = one_level()
    code = dataclasses.replace(face.code, expression=np.asarray(expression, np.float32))
    neutral = np.asarray(tiny_model.mean, np.float64) + np.tensordot(code.identity, tiny_model.identity, 1)
    moved = neutral + np.tensordot(code.expression, tiny_model.expression, 1)
    return one_level(code=code, vertices=moved.astype(np.float32)), neutral


def write_subject(folder, tiny_model, name, vertices):
    marks = inner_landmarks(tiny_model, vertices)[SEVEN_INNER]
    write_obj(folder / "scans" / name / "scan.obj", vertices, np.asarray(tiny_model.topology.triangles))
    write_picked(folder / "scans_lmks_onlypp" / name / "scan.pp", marks)


@pytest.fixture
def folder(tmp_path):
    photos = ["A/selfie/1.jpg", "A/multiview_neutral/2.jpg", "A/multiview_neutral/3.jpg", "B/selfie/4.jpg"]
    for photo in [*photos, "C/selfie/5.jpg"]:
        write_photo(tmp_path / "NoW_Dataset" / "final_release_version" / "iphone_pictures" / photo)
    (tmp_path / "imagepathsvalidation.txt").write_text("\n".join(photos) + "\n")
    return tmp_path


def test_scans_are_compared_without_expression_and_by_category(folder, tiny_model, monkeypatch):
    """The scan of A is the face itself in another place; that of B is missing; photo 3 shows no face."""
    face, neutral = face_with_expression(tiny_model, [2.0, -2.0])
    assert np.abs(face.vertices - neutral).max() > 3
    write_subject(folder, tiny_model, "A", Pose(1.5, POSE.rotation, POSE.shift)(neutral))
    write_subject(folder, tiny_model, "B", neutral)
    (folder / "scans" / "B" / "scan.obj").unlink()
    job = stub_job(monkeypatch, folder / "out", {"1": face, "2": face, "4": face})
    table = now_table(job, str(folder))
    errors = {(row["photo"], row["level"]): row["mean"] for row in table.rows}
    assert len(errors) == 4
    assert errors["A/selfie/1.jpg", "base level"] < 1e-3 < 0.5 < errors["A/selfie/1.jpg", "mean face"]
    captions = [part.caption for part in table.parts]
    assert captions == [
        "all photos, 2 photos, mm",
        "multiview_neutral, 1 photos, mm",
        "selfie, 1 photos, mm",
        "Left out: 2",
    ]
    reasons = dict(table.parts[-1].rows)
    assert "no face found" in reasons["A/multiview_neutral/3.jpg"]
    assert "no such mesh" in reasons["B/selfie/4.jpg"]
    assert table.sheet is not None and "bins" not in table.rows[0]
    again = now_table(stub_job(monkeypatch, folder / "out", {}), str(folder))  # nothing is measured twice
    assert json.dumps(again.rows) == json.dumps(table.rows)


def test_without_a_list_all_photos_of_people_with_scans_are_taken(folder, tiny_model):
    write_subject(folder, tiny_model, "C", np.asarray(tiny_model.mean))
    (folder / "imagepathsvalidation.txt").unlink()
    assert [photo.name for photo in now_photos(str(folder), "validation")] == ["C/selfie/5.jpg"]


def test_missing_parts_are_named(tmp_path):
    with pytest.raises(InputError, match="iphone_pictures/ is missing; give the folder of NoW"):
        now_photos(str(tmp_path), "validation")
