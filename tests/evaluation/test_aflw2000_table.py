"""AFLW2000-3D, on annotations that differ from a stub's faces by known distances and angles."""

import numpy as np
import pytest
import scipy.io
from scipy.spatial.transform import Rotation

from fml_jax.errors import InputError
from fml_jax.evaluation.aflw2000_table import (
    INNER,
    POINTS,
    aflw2000_table,
    angles_in_photo,
    read_annotation,
    same_axes,
)
from fml_jax.evaluation.face_meshes import frontal_landmarks
from fml_jax.evaluation.job import Job
from tests.evaluation.benchmark_stubs import one_level, stub_job, write_photo


def fixed_landmarks(face):
    return frontal_landmarks(face.model, face.projected)


def annotated_rotation(angles):
    """The data set's matrix of pitch, yaw and roll, radians: x right, y up, z to the viewer."""
    (a, b, c), (p, q, r) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, a, p], [0, -p, a]])
    about_y = np.array([[b, 0, -q], [0, 1, 0], [q, 0, b]])
    about_z = np.array([[c, r, 0], [-r, c, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def turned_face(angles, crop_turn=0.0):
    """A face with the data set's angles in a photo whose crop is turned."""
    cosine, sine = np.cos(crop_turn), np.sin(crop_turn)
    about = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    rotation = about @ np.diag([1.0, -1, -1]) @ annotated_rotation(np.asarray(angles))
    face = one_level()
    points = np.asarray(face.model.mean, np.float64)[:, :2] * [0.4, -0.4] + 50
    code = face.code.replace(rotation=Rotation.from_matrix(rotation).as_rotvec().astype(np.float32))
    box = np.array([12.0, 12.0, 88.0, 88.0])
    return one_level(code=code, projected=points, box=box, crop_from_photo=np.hstack([2 * about[:2, :2], [[5], [7]]]))


def write_annotation(folder, name, points, angles):
    write_photo(folder / f"{name}.jpg")
    depth = np.zeros((1, 68))
    scipy.io.savemat(
        folder / f"{name}.mat",
        {"pt3d_68": np.vstack([points.T + 1, depth]), "Pose_Para": np.array([[*angles, 0, 0, 0, 1e-3]])},
    )


@pytest.mark.parametrize("crop_turn", [0.0, 0.5])
def test_angles_are_those_of_the_data_sets_convention(crop_turn):
    wanted = np.array([0.2, -0.9, 0.3])
    yaw, pitch, roll = np.radians(angles_in_photo(turned_face(wanted, crop_turn)))
    np.testing.assert_allclose([pitch, yaw, roll], wanted, atol=1e-6)


def test_a_constant_turn_of_the_axes_is_removed_and_another_error_stays():
    rng = np.random.default_rng(0)
    true = rng.uniform(-50, 50, (40, 3))
    matrices = [annotated_rotation(np.radians(angles[[1, 0, 2]])) for angles in true]
    constant = annotated_rotation(np.array([0.15, 0.02, -0.03]))
    faces = [turned_face(_angles_of(each @ constant)) for each in matrices]
    found = np.stack([angles_in_photo(face) for face in faces])
    assert np.abs(found - true).mean() > 3
    np.testing.assert_allclose(same_axes(found, true), true, atol=1e-3)


def _angles_of(rotation):
    """Pitch, yaw and roll by the matrix's entries."""
    yaw = np.arcsin(-rotation[0, 2])
    return np.array([np.arctan2(rotation[1, 2], rotation[2, 2]), yaw, np.arctan2(rotation[0, 1], rotation[0, 0])])


def test_a_known_displacement_and_a_known_angle_are_found_in_the_bin_of_the_yaw(tmp_path, monkeypatch):
    """Points 3 pixels to the left, 0.05 radians of yaw, and a photo that shows no face."""
    face, far = turned_face([0.1, 0.4, 0.0]), turned_face([0.1, 1.2, 0.0])
    points = fixed_landmarks(face)
    for name, each, angles in (("image1", face, [0.1, 0.45, 0.0]), ("image2", far, [0.1, 1.2, 0.0])):
        write_annotation(tmp_path, name, fixed_landmarks(each) + [3.0 * (name == "image1"), 0], angles)
    write_annotation(tmp_path, "image3", points, [0.0, 0.0, 0.0])
    job = stub_job(monkeypatch, tmp_path / "out", {"image1": face, "image2": far})
    table = aflw2000_table(job, str(tmp_path))
    first, second = table.rows
    wanted = 3 / np.sqrt(np.ptp(points[:, 0]) * np.ptp(points[:, 1]))
    assert first[POINTS] == pytest.approx(wanted, abs=1e-6) == first[INNER] and second[POINTS] < 1e-6
    assert first["detected"] and first["yaw"] - first["true yaw"] == pytest.approx(-np.degrees(0.05), abs=1e-4)
    assert table.parts[0].rows[0][1:4] == (f"{100 * wanted:.2f}", "", "0.00")
    assert table.parts[2].rows[0][1] == f"{np.degrees(0.05) / 2:.2f}" and table.parts[2].rows[0][3] == "0.00"
    assert table.parts[-1].rows[0][0] == "image3" and "no face found" in table.parts[-1].rows[0][1]
    assert table.sheet is not None


def test_a_face_that_the_detector_misses_is_taken_from_the_annotated_box(tmp_path, monkeypatch):
    face = turned_face([0.0, 0.0, 0.0])
    elsewhere = one_level(code=face.code, projected=face.projected, box=np.array([0.0, 0, 9, 9]))
    write_annotation(tmp_path, "image1", fixed_landmarks(face), [0.0, 0.0, 0.0])
    job = stub_job(monkeypatch, tmp_path / "out", {"image1": elsewhere})
    assert aflw2000_table(job, str(tmp_path)).rows[0]["detected"] is False


@pytest.mark.parametrize(
    "content",
    [b"", b"MATLAB 5.0 MAT-file" + bytes(107) + b"\x00\x01IM" + b"\x0f\x00\x00\x00\xff\xff\xff\x7f", b"\x89HDF" * 50],
)
def test_hostile_files_give_one_line(tmp_path, content):
    path = tmp_path / "image1.mat"
    path.write_bytes(content)
    with pytest.raises(InputError, match="image1.mat: ") as error:
        read_annotation(path)
    assert "\n" not in str(error.value)


def test_annotations_without_points_and_folders_without_annotations_are_refused(tmp_path):
    with pytest.raises(InputError, match="no .mat file"):
        aflw2000_table(Job(tmp_path), str(tmp_path))
    scipy.io.savemat(tmp_path / "a.mat", {"pt3d_68": np.full((3, 68), np.nan), "Pose_Para": np.zeros((1, 7))})
    with pytest.raises(InputError, match="a.mat: no pt3d_68 of 3 × 68 numbers"):
        read_annotation(tmp_path / "a.mat")
