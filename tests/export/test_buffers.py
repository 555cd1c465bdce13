"""Pictures of 16 bits in the photo's pixels."""

import cv2
import numpy as np
import pytest

from fml_jax.export.buffers import DEPTH_STEPS, FULL, LIGHT_STEPS
from fml_jax.export.formats import BUFFERS
from fml_jax.image_formation.camera import to_camera


@pytest.fixture(scope="module")
def pictures(face, tmp_path_factory):
    """By kind, as read from their files; RGB."""
    paths = face.save(tmp_path_factory.mktemp("buffers"), "a", formats=BUFFERS)
    read = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths]
    return {
        kind: picture[..., ::-1] if picture.ndim == 3 else picture for kind, picture in zip(BUFFERS, read, strict=True)
    }


@pytest.fixture(scope="module")
def nose(face):
    """The nose's foremost vertex, and its pixel."""
    vertex = face.vertices[:, 2].argmax()
    return vertex, tuple(np.round(face.projected[vertex]).astype(int)[::-1])


def test_they_have_16_bits_and_the_photos_size(pictures, face):
    for kind, picture in pictures.items():
        assert picture.dtype == np.uint16 and picture.shape[:2] == face.photo.shape[:2]
        assert picture.ndim == (2 if kind in ("depth", "mask") else 3)


def test_depth_is_the_distance_along_the_viewing_axis(pictures, face, nose):
    vertex, pixel = nose
    depth = np.asarray(to_camera(face.vertices, face.code.rotation, face.code.translation))[:, 2]
    assert abs(pictures["depth"][pixel] / DEPTH_STEPS - depth[vertex]) < 2  # mm
    ahead = pictures["depth"][pictures["depth"] > 0]
    assert depth.min() - 1 < ahead.min() / DEPTH_STEPS and ahead.max() / DEPTH_STEPS < depth.max() + 1


def test_normals_are_unit_vectors_towards_the_camera(pictures):
    seen = pictures["mask"] > 0
    normals = pictures["normals"][seen] / FULL * 2 - 1
    lengths = np.linalg.norm(normals, axis=1)
    assert np.quantile(lengths, 0.05) > 0.9 and lengths.max() < 1.001  # shorter between vertices
    assert (normals[:, 2] > -0.1).mean() > 0.98 and normals[:, 2].mean() > 0.5
    x = np.nonzero(seen)[1]
    assert np.corrcoef(x, normals[:, 0])[0, 1] > 0.7  # the right side of the face looks to the right


def test_reflectance_times_shading_is_the_overlays_colour(pictures, face):
    from fml_jax.reconstruction.refinement import observed_points

    points, _ = observed_points(face)
    seen = np.flatnonzero(points.visible & np.asarray(face.model.regions["skin"]))[::50]
    places = np.round(face.projected[seen]).astype(int)
    skin = pictures["reflectance"][places[:, 1], places[:, 0]] / FULL
    light = pictures["shading"][places[:, 1], places[:, 0]] / LIGHT_STEPS
    error = np.abs(skin * light - points.colours[seen])
    assert np.median(error) < 0.02


def test_the_mask_covers_the_face_and_is_all_or_nothing(pictures, face):
    assert set(np.unique(pictures["mask"])) == {0, FULL}
    x0, y0 = face.landmarks68.min(axis=0).astype(int)
    x1, y1 = face.landmarks68.max(axis=0).astype(int)
    inside = pictures["mask"][y0:y1, x0:x1] > 0
    assert inside.mean() > 0.7 and (pictures["mask"] > 0).sum() < 4 * inside.size
    assert not (pictures["mask"][pictures["depth"] == 0]).any()
