"""Faces on scans: known cases, and agreement with trimesh and scipy."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from fml_jax.evaluation.scan_alignment import Distances, by_closest_points, by_landmarks, distances, sums
from fml_jax.face_model.surfaces import Mesh, SurfaceSearch
from fml_jax.fitting.surface_fit import Pose


@pytest.fixture(scope="module")
def bump():
    """A patch of 21×21 vertices, bent in both directions, with triangles of different sizes."""
    x, y = np.meshgrid(70 * np.linspace(-1, 1, 21) ** 3, np.linspace(-90, 90, 21))
    z = 60 * np.cos(x / 60) * np.cos(y / 70) + 8 * np.exp(-(x**2 + y**2) / 200) + 0.05 * x
    k = np.arange(441).reshape(21, 21)
    a, b, c, d = (part.ravel() for part in (k[:-1, :-1], k[1:, :-1], k[1:, 1:], k[:-1, 1:]))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return Mesh(np.stack([x, y, z], axis=-1).reshape(-1, 3), triangles)


POSE = Pose(1.3, Rotation.from_rotvec([0.1, -0.15, 0.2]).as_matrix(), np.array([4.0, -7.0, 9.0]))


def test_distances_agree_with_trimesh(bump):
    points = np.random.default_rng(0).normal(0, 60, (300, 3))
    surface = trimesh.Trimesh(bump.vertices, bump.triangles, process=False)
    wanted = trimesh.proximity.closest_point_naive(surface, points)[1]
    np.testing.assert_allclose(SurfaceSearch(*bump).distances(points), wanted, atol=1e-6)


def test_a_large_triangle_is_found_whose_centre_is_far(bump):
    """Sixteen small triangles have nearer centres than the large one below a point."""
    small = bump.vertices * 0.01 + [0, 0, 30.0]
    floor = np.array([[-500.0, -500, 0], [900, -500, 0], [-500, 900, 0]])
    mesh = Mesh(np.concatenate([small, floor]), np.concatenate([bump.triangles, [[441, 442, 443]]]))
    points = np.array([[3.0, 2, 1.5], [-20, 5, 0.25], [0, 0, 31]])
    found = SurfaceSearch(*mesh).distances(points)
    np.testing.assert_allclose(found[:2], [1.5, 0.25], atol=1e-9)
    assert found[2] < 0.5


def test_the_sums_agree_with_scipy():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(40, 3)), rng.normal(size=(60, 3))
    between = cdist(a, b)
    found = sums(Distances(between.min(1), between.min(0)))
    forth, back = between.min(1), between.min(0)
    wanted = {
        "scan to mesh, mean": forth.mean(),
        "scan to mesh, median": np.quantile(forth, 0.5),
        "scan to mesh, SD": np.sqrt(((forth - forth.mean()) ** 2).mean()),
        "scan to mesh, RMS": np.linalg.norm(forth) / np.sqrt(40),
        "mesh to scan, mean": back.mean(),
        "Hausdorff 95 %": max(np.quantile(forth, 0.95), np.quantile(back, 0.95)),
    }
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)


def test_landmarks_undo_any_similarity_and_unknown_ones_do_not_count(bump):
    marks = bump.vertices[::40].copy()
    there = POSE(marks)
    there[3] = np.nan
    marks[5] = np.nan
    pose = by_landmarks(marks, there)
    np.testing.assert_allclose(pose(bump.vertices), POSE(bump.vertices), atol=1e-9)


def test_closest_points_find_a_similarity_that_landmarks_miss_by_millimetres(bump):
    start = Pose(1.27, Rotation.from_rotvec([0.13, -0.12, 0.2]).as_matrix(), np.array([6.0, -5.0, 8.0]))
    pose = by_closest_points(bump, POSE(bump.vertices), start)
    before, after = (np.linalg.norm(each(bump.vertices) - POSE(bump.vertices), axis=1) for each in (start, pose))
    assert before.mean() > 2.5 and after.mean() < 0.01
    assert pose.scale == pytest.approx(POSE.scale, abs=1e-4)


def test_only_the_region_of_the_scan_counts(bump):
    """A face that is 2 mm before the scan on one half, and wildly wrong on the other, where nothing is compared."""
    region = bump.vertices[:, 1] > 0
    flat = Mesh(bump.vertices * [1, 1, 0], bump.triangles)
    wrong = flat.vertices + np.where(region[:, None], [0, 0, 2.0], [0, 0, 90.0])
    wrong[np.abs(flat.vertices[:, 1]) < 10] += [0, 0, 1.0]
    found = distances(Mesh(wrong, bump.triangles), flat, region & (flat.vertices[:, 1] > 30))
    np.testing.assert_allclose(found.scan_to_mesh, 2, atol=1e-9)
    np.testing.assert_allclose(found.mesh_to_scan, 2, atol=1e-9)
