"""The photo's camera as JSON: other programs draw the mesh where the photo shows the face."""

import json

import cv2
import numpy as np
import pytest
import trimesh


@pytest.fixture(scope="module")
def turned(reconstructor):
    """A face in a photo that is turned by 20° and wider than high, in an upright crop."""
    from skimage import data

    photo = data.astronaut()
    matrix = cv2.getRotationMatrix2D((224.0, 120.0), -20, 1.3)
    photo = cv2.warpAffine(photo, matrix, (640, 400))
    return reconstructor(photo)[0]


@pytest.fixture(scope="module", params=["face", "turned"])
def drawn(request, tmp_path_factory):
    """A face, its camera file, and its mesh as trimesh reads it from the OBJ."""
    face = request.getfixturevalue(request.param)
    folder = tmp_path_factory.mktemp("camera")
    paths = face.save(folder, "a", formats=["obj", "camera", "mask"])
    mesh = trimesh.load(paths[0], process=False, force="mesh")
    return face, json.loads((folder / f"a_{face.index}_camera.json").read_text()), mesh, paths


def projected_by_opencv(camera, points):
    pose = np.array(camera["world_to_camera"])
    matrix = np.array([[camera["fx"], 0, camera["cx"]], [0, camera["fy"], camera["cy"]], [0, 0, 1]])
    return cv2.projectPoints(points, cv2.Rodrigues(pose[:, :3])[0], pose[:, 3], matrix, None)[0][:, 0]


def test_opencv_finds_every_vertex_where_the_reconstruction_has_it(drawn):
    face, camera, mesh, _ = drawn
    found = projected_by_opencv(camera, np.asarray(mesh.vertices))
    # trimesh may cut vertices at texture seams; each must be near one of ours.
    for point in found[::97]:
        assert np.linalg.norm(face.projected - point, axis=1).min() < 0.1
    for point in face.projected[::97]:
        assert np.linalg.norm(found - point, axis=1).min() < 0.1
    assert (camera["height"], camera["width"]) == face.photo.shape[:2]


def test_opencvs_rendering_covers_the_face_of_the_photo(drawn):
    """Silhouettes of another rasteriser, drawn at eight times the size, against the mask file: within half a pixel."""
    face, camera, mesh, paths = drawn
    hidden = face.mask < 0.5  # the mask file leaves out what an object hides
    shift = 3  # OpenCV's fixed point
    pixels = projected_by_opencv(camera, face.vertices.astype(np.float64))
    whole = np.zeros(face.photo.shape[:2], np.uint8)
    shown = np.asarray(face.model.regions["face"]) | np.asarray(face.model.regions["eyes"])
    for triangle in face.triangles[shown[np.asarray(face.triangles)].all(axis=1)]:
        corners = np.round(pixels[triangle] * 2**shift).astype(np.int32)
        cv2.fillConvexPoly(whole, corners, 255, cv2.LINE_8, shift)
    mask = cv2.imread(str(next(path for path in paths if path.name.endswith("_mask.png"))), cv2.IMREAD_UNCHANGED)

    # Moved by one pixel in any direction, the silhouettes would agree less; in between lies the best shift.
    def overlap(dx, dy):
        moved = (np.roll(whole, (dy, dx), axis=(0, 1)) > 0) & ~hidden
        return (moved & (mask > 0)).sum() / (moved | (mask > 0)).sum()

    scores = np.array([[overlap(dx, dy) for dx in (-1, 0, 1)] for dy in (-1, 0, 1)])
    assert scores[1, 1] > 0.97 and scores.argmax() == 4
    for line in (scores[1], scores[:, 1]):
        left, middle, right = line
        assert abs((right - left) / (2 * (2 * middle - left - right))) < 0.5


def test_the_scenes_camera_of_the_glb_sees_the_same(drawn):
    face, camera, _, _ = drawn
    inverse = np.linalg.inv(np.array(camera["camera_to_world"]))
    points = inverse[:3, :3] @ (face.vertices.T / 1000) + inverse[:3, 3:]
    x = camera["fx"] * points[0] / -points[2] + camera["cx"]
    y = -camera["fy"] * points[1] / -points[2] + camera["cy"]
    np.testing.assert_allclose(np.stack([x, y], 1), face.projected, atol=0.05)
    assert (points[2] < 0).all()
