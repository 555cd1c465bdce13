"""Changed photos, and the way back from them."""

import numpy as np
import pytest

from fml_jax.evaluation.changes import SHIFT, changes_of
from fml_jax.face_model.files import load_face_model
from fml_jax.face_model.mirror import Mirror
from fml_jax.photos.landmarks import IBUG_MIRROR

BOX = (40.0, 30.0, 140.0, 130.0)


@pytest.fixture(scope="module")
def photo():
    """A dot at (97, 60), wide enough to survive a smaller picture."""
    rgb = np.zeros((180, 200, 3), np.uint8)
    rgb[58:63, 95:100] = 255
    return rgb


def dot(rgb):
    rows, columns = np.indices(rgb.shape[:2])
    weight = rgb.mean(axis=2)
    weight = np.where(weight > 40, weight, 0)
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


def test_a_place_is_found_again_in_each_change(photo):
    changes = changes_of(photo, BOX)
    assert [change.kind for change in changes].count("shifted") == 4
    for change in changes:
        marks = np.tile(dot(change.rgb), (68, 1))
        np.testing.assert_allclose(change.landmarks(marks), np.tile([97, 60], (68, 1)), atol=0.3)


def test_boxes_stay_about_the_same_face(photo):
    by_kind = {change.kind: change for change in changes_of(photo, BOX)}
    for kind in ("mirrored", "half size", "blurred", "JPEG"):
        change = by_kind[kind]
        corners = np.array(change.box).reshape(2, 2) @ change.original[:, :2].T + change.original[:, 2]
        np.testing.assert_allclose(np.sort(corners, axis=0).ravel(), BOX, atol=1e-9)
    moved = [np.subtract(change.box, BOX) for change in changes_of(photo, BOX) if change.kind == "shifted"]
    assert all(np.abs(shift).max() == pytest.approx(100 * SHIFT) for shift in moved) and not np.any(np.sum(moved, 0))


def test_a_mirrored_photo_swaps_left_and_right_landmarks(photo):
    change = next(each for each in changes_of(photo, BOX) if each.mirrored)
    found = np.random.default_rng(0).uniform(0, 150, (68, 2))
    back = change.landmarks(found)
    np.testing.assert_allclose(back[36], [199 - found[IBUG_MIRROR[36], 0], found[IBUG_MIRROR[36], 1]])


def test_quality_is_lost_where_it_should_be():
    rgb = np.random.default_rng(0).integers(0, 255, (120, 120, 3)).astype(np.uint8)
    by_kind = {change.kind: change.rgb for change in changes_of(rgb, (0.0, 0, 119, 119))}
    assert by_kind["blurred"].std() < 0.5 * rgb.std()
    assert np.abs(by_kind["JPEG"].astype(float) - rgb).mean() > 5
    assert by_kind["half size"].shape == (60, 60, 3)


def test_a_face_mirrored_twice_is_itself():
    model = load_face_model(None, "face")
    mirror, face = Mirror(model), np.asarray(model.regions["face"])
    crooked = np.asarray(model.mean, np.float64) + np.where(np.asarray(model.mean)[:, :1] > 0, [0, 2.0, 0], 0)
    gaps = np.linalg.norm(mirror(mirror(crooked)) - crooked, axis=1)[face]
    assert np.median(gaps) < 0.05
    assert np.median(np.linalg.norm(mirror(crooked) - crooked, axis=1)[face]) > 1
