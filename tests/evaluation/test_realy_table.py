"""REALY, on made-up regions whose distances from the faces are known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fml_jax.errors import InputError
from fml_jax.evaluation.face_meshes import frontal_landmarks
from fml_jax.evaluation.realy_table import KEYPOINTS, realy_photos, realy_table, region_error
from fml_jax.face_model.surfaces import Mesh, part_of
from fml_jax.fitting.surface_fit import Pose
from tests.evaluation.benchmark_stubs import one_level, plane, stub_job, write_obj, write_photo

POSE = Pose(0.02, Rotation.from_rotvec([0.3, -0.8, 0.4]).as_matrix(), np.array([4.0, -7.0, 9.0]))
NOBODY = np.zeros((0, 3), int)


def points_of_face():
    """68 points on the plane: all in its middle, but the corners of eyes and mouth, and the nose."""
    rng = np.random.default_rng(0)
    points = np.stack([*rng.uniform(-35, 35, (2, 68)), np.zeros(68)], axis=1)
    points[[36, 39, 42, 45, 33, 48, 54], :2] = [
        [-45, 30],
        [-15, 30],
        [15, 30],
        [45, 30],
        [0, -10],
        [-25, -40],
        [25, -40],
    ]
    return points


def square(face, half):
    return part_of(face, (np.abs(face.vertices).max(1) < half)[face.triangles].all(1))


@pytest.fixture(scope="module")
def waves():
    """A plane, and a region with waves of 1.5 mm on a part of it; the mean distance of the region from the plane."""
    face = plane(25)
    region = square(face, 60)
    x, y, _ = region.vertices.T
    gaps = 1.5 * np.cos(np.pi * x / 22.5) * np.cos(np.pi * y / 22.5)
    gaps -= gaps.mean()
    return face, region._replace(vertices=region.vertices + gaps[:, None] * [0, 0, 1.0]), np.abs(gaps).mean()


@pytest.mark.parametrize("name", ["nose", "cheek"])
def test_a_known_distance_is_found_whatever_size_and_place_the_face_has(waves, name):
    face, region, distance = waves
    marks = points_of_face()
    moved = Mesh(POSE(face.vertices), face.triangles)
    error = region_error(moved, POSE(marks), name=name, region=region, keypoints=marks)
    assert error == pytest.approx(distance, rel=0.05)


def test_the_face_beside_a_region_does_not_count(waves):
    face, region, _ = waves
    marks = points_of_face()
    outside = np.abs(face.vertices).max(1) > 80
    bulging = face._replace(vertices=face.vertices + outside[:, None] * [0, 0, 15.0])
    errors = [region_error(each, marks, name="nose", region=region, keypoints=marks) for each in (face, bulging)]
    assert errors[0] == pytest.approx(errors[1], abs=1e-6)


def test_each_region_is_aligned_by_itself_and_sizes_are_not(waves):
    """A part that is pushed in by 5 mm as a whole has no error; one that is a tenth too small has one."""
    face = waves[0]
    region = square(face, 30)
    marks = points_of_face()
    pushed = face._replace(vertices=face.vertices - [0, 0, 5.0])
    inner = marks.copy()
    inner[27:36] -= [0, 0, 5.0]
    found = region_error(pushed, inner, name="nose", region=region, keypoints=marks)
    assert found < 0.05
    small = marks.copy()
    small[27:36] *= 0.9
    assert region_error(face, small, name="nose", region=region, keypoints=marks) > 0.3


def test_a_region_far_from_its_keypoints_is_refused(waves):
    face, region, _ = waves
    far = region._replace(vertices=region.vertices + 500.0)
    marks = points_of_face()
    with pytest.raises(InputError, match="nose.obj: over 30 mm from the face"):
        region_error(face, marks, name="nose", region=far, keypoints=marks)


def write_person(folder, number, vertices, triangles, marks):
    for name in KEYPOINTS:
        write_obj(folder / "REALY_scan_region" / str(number) / f"{name}.obj", vertices / 9, triangles)
    points = np.concatenate([marks, np.zeros((17, 3))]) / 9
    write_obj(folder / "REALY_HIFI3D_keypoints" / f"{number}.obj", points, NOBODY)


def test_the_table_has_the_regions_and_names_what_is_left_out(tmp_path, tiny_model, monkeypatch):
    """The scan of person 1 is the face itself in another unit; that of person 2 has a scale that is missing."""
    mean, triangles = np.asarray(tiny_model.mean, np.float64), np.asarray(tiny_model.topology.triangles)
    face = one_level(vertices=(mean + [0, 0, 6.0] * np.sin(mean[:, :1] / 20)).astype(np.float32))
    for number in (1, 2):
        write_person(tmp_path, number, face.vertices, triangles, frontal_landmarks(tiny_model, face.vertices))
        write_photo(tmp_path / "REALY_image" / "512x512" / f"{number}.jpg")
    write_photo(tmp_path / "REALY_image" / "512x512" / "1_left.jpg")
    (tmp_path / "metrical_scale.txt").write_text("9.0\n")
    job = stub_job(monkeypatch, tmp_path / "out", {"1": face, "2": face})
    table = realy_table(job, str(tmp_path))
    errors = {row["level"]: row for row in table.rows}
    assert list(errors) == ["mean face", "base level"]
    assert max(errors["base level"][name] for name in KEYPOINTS) < 0.05 < errors["mean face"]["all"]
    assert errors["mean face"]["all"] == pytest.approx(np.mean([errors["mean face"][name] for name in KEYPOINTS]))
    assert table.parts[0].rows[1][-1] == f"{errors['base level']['all']:.2f} ± 0.00"
    assert "no scale of person 2" in table.parts[1].rows[0][1] and len(table.parts[1].rows) == 1
    assert table.sheet is not None


def test_folders_without_parts_and_two_photos_of_a_person_are_refused(tmp_path):
    with pytest.raises(InputError, match="REALY_image/ is missing"):
        realy_photos(str(tmp_path))
    for name in ("REALY_scan_region", "REALY_HIFI3D_keypoints"):
        (tmp_path / name).mkdir()
    for folder in "ab":
        write_photo(tmp_path / "REALY_image" / folder / "1.jpg")
    with pytest.raises(InputError, match="of the same person; leave one folder of frontal photos"):
        realy_photos(str(tmp_path))
