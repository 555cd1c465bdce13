"""Meshes of other programs."""

import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.evaluation.comparison import MATCHED, compare
from fml_jax.evaluation.face_meshes import inner_landmarks
from fml_jax.evaluation.peers import PeerMeshes, open_peers, seen_landmarks
from fml_jax.evaluation.scans import known_render
from fml_jax.face_model.files import load_face_model
from fml_jax.face_model.surfaces import Mesh


@pytest.fixture(scope="module")
def model():
    return load_face_model(None, "face")


def write_mesh(path, vertices, triangles):
    lines = ["v {:.9f} {:.9f} {:.9f}".format(*point) for point in vertices]
    path.write_text("\n".join([*lines, *("f {} {} {}".format(*corners) for corners in np.asarray(triangles) + 1)]))


@pytest.mark.parametrize("axes", [(1, 1, 1), (1, -1, -1)], ids=["y up", "y down"])
def test_landmarks_are_seen_on_a_mesh_of_any_size(axes, shared):
    whole = load_face_model()
    mesh = Mesh(0.01 * np.asarray(whole.mean, np.float64) * axes + [5, 6, 7], np.asarray(whole.topology.triangles))
    gaps = np.linalg.norm(
        seen_landmarks(mesh) - inner_landmarks(whole, np.asarray(whole.mean)) * 0.01 * axes - [5, 6, 7], axis=1
    )
    assert np.nanmedian(100 * gaps) < 5  # mm


def test_nothing_is_seen_on_a_wall(shared):
    wall = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.1]]), np.array([[0, 1, 2], [1, 3, 2]]))
    assert seen_landmarks(wall) is None


def test_a_peer_with_the_true_face_has_no_error_and_a_wrong_one_has(model, tmp_path, shared):
    """The peer's meshes are the mean face in metres, and one whose nose is 8 mm longer."""
    mean, triangles = np.asarray(model.mean, np.float64), np.asarray(model.topology.triangles)
    nose = np.asarray(model.regions["nose"])[:, None] * [0, 0, 8.0]
    write_mesh(tmp_path / "right.obj", 0.001 * mean, triangles)
    write_mesh(tmp_path / "wrong.obj", 0.001 * (mean + nose), triangles)
    peer, known = PeerMeshes(str(tmp_path)), known_render(model, "mean", np.asarray(model.mean))
    right, wrong = (compare(model, known, peer.face(name)).sums for name in ("right", "wrong"))
    assert right["scan to mesh, mean"] < 0.01 and right[MATCHED] < 0.1
    assert wrong["scan to mesh, mean"] > 0.2 and wrong["Hausdorff 95 %"] > 1 and wrong[MATCHED] > 0.2
    assert peer.face("another picture") is None


def test_folders_without_meshes_and_equal_names_are_refused(tmp_path):
    (tmp_path / "a" / "peer").mkdir(parents=True)
    with pytest.raises(InputError, match="peer: no file of .obj or .ply"):
        open_peers([str(tmp_path / "a" / "peer")])
    (tmp_path / "a" / "peer" / "x.obj").write_text("")
    with pytest.raises(InputError, match="two folders are called peer"):
        open_peers([str(tmp_path / "a" / "peer"), str(tmp_path / "a" / "peer")])
