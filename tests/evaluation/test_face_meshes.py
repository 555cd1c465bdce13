"""Faces of several meshes beside a known one."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from skimage import data

from fml_jax.evaluation.face_meshes import (
    bent_onto,
    inner_landmarks,
    matched_error,
    nearest_in_span,
    of_mediapipe,
    of_model,
)
from fml_jax.evaluation.scan_alignment import by_landmarks
from fml_jax.evaluation.scans import compared
from fml_jax.face_model.base import geometry
from fml_jax.face_model.files import load_face_model
from fml_jax.face_model.surfaces import Mesh
from fml_jax.photos.landmarks import mesh_triangles


@pytest.fixture(scope="module")
def model():
    return load_face_model(None, "face")


@pytest.fixture(scope="module")
def someone(model):
    rng = np.random.default_rng(5)
    code = (rng.normal(size=count).astype(np.float32) for count in model.code_sizes[:2])
    return np.asarray(geometry(model, *code), np.float64)


def turned(points):
    return 0.7 * points @ Rotation.from_rotvec([0.2, 2.0, -0.4]).as_matrix().T + [10.0, 400.0, -3.0]


def test_the_span_reaches_its_own_faces_in_any_place_and_size(model, someone):
    members = compared(model)
    found = nearest_in_span(model, turned(someone), members)
    face = of_model(model, found, registered=turned(someone), members=members)
    mean = of_model(model, np.asarray(model.mean), registered=turned(someone), members=members)
    assert matched_error(face) < 0.1 * matched_error(mean)
    assert matched_error(mean) > 0.7


def test_a_moved_face_matches_and_points_of_another_do_not(model, someone):
    members = compared(model)
    same = of_model(model, turned(someone), registered=someone, members=members)
    assert matched_error(same) < 1e-6
    bent = someone + np.where(np.asarray(model.mean)[:, :1] > 0, [0, 0, 3.0], 0)
    assert matched_error(of_model(model, bent, registered=someone, members=members)) > 0.5


def test_mediapipes_mesh_of_the_astronaut_is_a_face(model, someone, shared):
    peer = of_mediapipe(model, data.astronaut(), None, registered=someone, members=compared(model))
    assert peer.points.shape == peer.true_points.shape and len(peer.points) > 300
    pose = by_landmarks(peer.landmarks, inner_landmarks(model, someone))
    assert matched_error(peer) < 8  # the astronaut is another person than this one
    nose, ears = pose(peer.mesh.vertices)[[1, 234]][:, 2]
    assert nose > ears + 50  # z points out of the face
    wall = np.zeros((90, 90, 3), np.uint8)
    assert of_mediapipe(model, wall, None, registered=someone, members=compared(model)) is None


def test_mediapipes_triangles_cover_its_points_once():
    triangles = mesh_triangles()
    assert triangles.shape == (852, 3) and (np.unique(triangles) == np.arange(468)).all()
    sides = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    assert np.unique(sides, axis=0, return_counts=True)[1].max() == 2  # a surface: no side has three triangles


def test_bending_finds_corresponding_points_of_another_mesh(model, someone):
    """The other mesh is the known face with every second vertex's number changed, a little larger and 1 mm away."""
    rng, members = np.random.default_rng(0), compared(model)
    order = rng.permutation(len(someone))
    new_of_old = np.argsort(order)
    other = Mesh((1.02 * someone + [0, 0, 1.0])[order], new_of_old[np.asarray(model.topology.triangles)])
    points = bent_onto(model, someone, other, members=members)
    gaps = np.linalg.norm(points - (1.02 * someone + [0, 0, 1.0])[members], axis=1)
    assert np.median(gaps) < 0.8
