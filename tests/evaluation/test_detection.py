"""What counts as a found face."""

import numpy as np
import pytest

from fml_jax.evaluation.detection import (
    FoundFace,
    by_detector,
    judge,
    judged,
    overlap,
    roll_difference,
    tally,
)
from fml_jax.evaluation.detection_sets import Picture
from fml_jax.evaluation.detection_sheets import failure_sheet, whole_pictures
from fml_jax.evaluation.reference_faces import ReferenceFace
from fml_jax.photos.detection import detect_faces

BOX = (10.0, 20.0, 110.0, 120.0)
RGB = np.zeros((150, 150, 3), np.uint8)


def picture(*faces):
    return Picture("a picture", RGB, faces)


def shifted(box, right, down=0.0):
    return (box[0] + right, box[1] + down, box[2] + right, box[3] + down)


def test_overlap_is_the_common_area_over_the_joint_one():
    assert overlap(BOX, BOX) == 1
    assert overlap(BOX, shifted(BOX, 50)) == pytest.approx(1 / 3)
    assert overlap(BOX, shifted(BOX, 200)) == 0
    assert overlap(BOX, (10, 20, 60, 70)) == pytest.approx(1 / 4)


def test_rolls_are_compared_the_shorter_way_round():
    assert roll_difference(179, -179) == pytest.approx(2)
    assert roll_difference(-170, 190) == pytest.approx(0)
    assert roll_difference(0, 180) == roll_difference(0, -180) == 180


@pytest.mark.parametrize(
    "found, stage",
    [
        (FoundFace(BOX, 5.0, 0.9), 3),
        (FoundFace(shifted(BOX, 30), 5.0, 0.9), 3),  # overlap 0.54
        (FoundFace(shifted(BOX, 35), 5.0, 0.9), 0),  # 0.48
        (FoundFace(BOX, 16.0, 0.9), 1),
        (FoundFace(BOX, -171.0, 0.9), 1),
        (FoundFace(BOX, 364.0, 0.9), 3),
        (FoundFace(BOX, 5.0, 0.49), 2),
        (FoundFace(BOX, 5.0, 0.5), 3),
    ],
)
def test_a_face_passes_the_stages_one_after_the_other(found, stage):
    assert judge(picture(ReferenceFace(BOX, 5.0)), [found]).stages == [stage]


def test_a_roll_that_is_not_known_is_not_judged():
    assert judge(picture(ReferenceFace(BOX, None)), [FoundFace(BOX, 90.0, 0.9)]).stages == [3]


def test_a_box_counts_for_one_face_and_the_better_box_is_taken():
    two = picture(ReferenceFace(BOX, 0.0), ReferenceFace(shifted(BOX, 20), 0.0))
    assert judge(two, [FoundFace(shifted(BOX, 15), 0.0, 0.9)]).stages == [0, 3]
    good, worse = FoundFace(BOX, 0.0, 0.9), FoundFace(shifted(BOX, 10), 45.0, 0.9)
    result = judge(picture(ReferenceFace(BOX, 0.0)), [worse, good])
    assert result.stages == [3] and result.false == [worse]


def test_accepted_boxes_beside_all_faces_are_false_and_rejected_ones_are_not():
    boxes = [FoundFace(BOX, 0.0, 0.9), FoundFace(BOX, 0.0, 0.4)]
    assert judge(picture(), boxes).false == boxes[:1]


def test_sums_over_pictures():
    face = ReferenceFace(BOX, 0.0)
    answers = [[FoundFace(BOX, 0.0, 0.9)], [FoundFace(BOX, 0.0, 0.1)], [FoundFace(BOX, 40.0, 0.9)], []]
    pictures = [picture(face)] * 3 + [picture(face, face)]
    sums = tally(list(judged(pictures, lambda rgbs: answers)))
    assert sums == (4, 5, 3, 2, 1, 0)
    assert sums.share("upright") == 0.4


def test_a_detector_finds_the_face_of_a_photo():
    from skimage import data

    ((found, *_),) = by_detector(detect_faces)([data.astronaut()])
    assert overlap(found.box, (170, 70, 280, 180)) > 0.5 and found.score == 1


def test_a_sheet_has_a_cell_for_each_failure_and_none_without():
    right = judge(picture(ReferenceFace(BOX, 0.0)), [FoundFace(BOX, 0.0, 0.9)])
    wrong = judge(picture(ReferenceFace(BOX, 0.0)), [FoundFace((0.0, 0.0, 30.0, 30.0), 0.0, 0.9)])
    assert failure_sheet([right]) is None
    one, both = whole_pictures([right]), failure_sheet([right, wrong])
    assert both.shape[0] == one.shape[0] and both.shape[1] == 2 * one.shape[1]
