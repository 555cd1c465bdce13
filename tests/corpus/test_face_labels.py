"""Label maps: every 2×2 pixels get the label of what most of them show."""

import numpy as np

from fml_jax.corpus.face_labels import (
    BACKGROUND,
    FACE,
    OCCLUDER,
    UNKNOWN,
    cover_labels,
    label_map,
    moved_labels,
    occluded_share,
    unknown_labels,
)


def half_hidden():
    """A square face whose left half is hidden."""
    face, hidden = np.zeros((240, 240), np.float32), np.zeros((240, 240), np.float32)
    face[60:180, 60:180] = 1
    hidden[:, :120] = 0.9
    return face, hidden


def test_only_what_is_before_the_face_is_an_occluder():
    labels = label_map(*half_hidden())
    assert (labels[30:90, 30:60] == OCCLUDER).all() and (labels[30:90, 60:90] == FACE).all()
    assert (labels == BACKGROUND).sum() == 120 * 120 - 60 * 60
    assert occluded_share(labels) == 0.5


def test_what_can_be_seen_through_is_no_occluder():
    face, hidden = half_hidden()
    assert occluded_share(label_map(face, 0.4 * hidden)) == 0
    assert occluded_share(label_map(0 * face, hidden)) == 0


def test_labels_follow_an_affine_of_the_crop():
    labels = label_map(*half_hidden())
    moved = moved_labels(labels, np.array([[1.0, 0.0, 20.0], [0.0, 1.0, -10.0]]))
    np.testing.assert_array_equal(moved[:100, 20:], labels[5:105, 10:110])
    np.testing.assert_array_equal(
        moved_labels(labels, np.array([[-1.0, 0.0, 239.0], [0.0, 1.0, 0.0]])), labels[:, ::-1]
    )


def test_a_rectangle_hides_the_face_alone():
    labels = label_map(*half_hidden())
    cover_labels(labels, slice(0, 240), slice(120, 160))
    assert (labels[30:90, 30:80] == OCCLUDER).all() and (labels[30:90, 80:90] == FACE).all()
    assert (labels[:30] == BACKGROUND).all()
    assert (unknown_labels() == UNKNOWN).all()
