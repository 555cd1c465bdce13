"""Boxes of faces: shrinking and coming back, overlaps, and the conversion between detectors' conventions."""

import numpy as np
import pytest

from fml_jax.photos.boxes import (
    WORKING_SIDE,
    Detection,
    area,
    haar_box,
    in_photo,
    largest_first,
    merged,
    overlap,
    shrunk,
    working_scale,
)
from fml_jax.photos.crops import HAAR_CENTRE_DOWN, HAAR_SIDE


def square(x, y, side, confidence=0.9):
    return Detection((float(x), float(y), float(x + side), float(y + side)), confidence)


def test_the_landmarks_sit_in_a_converted_box_as_they_do_in_haars():
    """A rectangle of another detector, 40 wide and 90 high, whose landmarks lie 0.1 of √(w·h) below its middle."""
    x0, y0, x1, y1 = haar_box((100.0, 200.0, 140.0, 290.0), centre_down=0.1, side=0.8)
    scale = 60.0
    assert x1 - x0 == pytest.approx(y1 - y0) and (x0 + x1) / 2 == pytest.approx(120)
    assert 0.8 * scale / (x1 - x0) == pytest.approx(HAAR_SIDE)
    landmarks_middle = 245 + 0.1 * scale
    assert (landmarks_middle - (y0 + y1) / 2) / (y1 - y0) == pytest.approx(HAAR_CENTRE_DOWN)


def test_large_photos_are_shrunk_to_the_working_side_and_small_ones_are_left_alone():
    large, small = np.zeros((1280, 300, 3), np.uint8), np.zeros((200, 100), np.uint8)
    assert working_scale(large) == 0.5 and working_scale(small) == 1
    assert shrunk(large).shape == (WORKING_SIDE, 150, 3) and shrunk(small) is small
    assert shrunk(small, 0.25).shape == (50, 25)


def test_no_side_is_shrunk_to_nothing():
    assert shrunk(np.zeros((4000, 3), np.uint8)).shape == (WORKING_SIDE, 1)


def test_shrinking_averages_the_pixels():
    stripes = np.tile(np.array([0, 200], np.uint8), (8, 4))
    np.testing.assert_array_equal(shrunk(stripes, 0.5), np.full((4, 4), 100))


def test_a_box_of_the_whole_shrunk_picture_is_the_whole_photo():
    """Pixels' centres are whole numbers: a photo of 300 by 200 pixels goes from -0.5 to 299.5 and 199.5."""
    assert in_photo((0, 0, 150, 50), 2.0, 4.0) == (-0.5, -0.5, 299.5, 199.5)


def test_overlap_is_a_part_of_the_smaller_box():
    assert area(square(3, 4, 10)) == 100
    assert overlap(square(0, 0, 10), square(2, 2, 4)) == 1
    assert overlap(square(0, 0, 10), square(5, 0, 10)) == pytest.approx(0.5)
    assert (
        overlap(square(0, 0, 10), square(8, 8, 4)) == pytest.approx(0.25) == overlap(square(8, 8, 4), square(0, 0, 10))
    )
    assert overlap(square(0, 0, 10), square(20, 20, 10)) == 0  # not the product of two negative sides


def test_of_overlapping_boxes_the_surest_is_kept():
    unsure, sure, beside = square(0, 0, 10, 0.5), square(2, 0, 10, 0.8), square(9, 0, 10, 0.4)
    assert merged([unsure, beside, sure], 0.5) == [sure, beside]
    assert merged([unsure, beside, sure], 0.8) == [sure, unsure, beside]
    assert merged([], 0.5) == []


def test_a_box_that_overlaps_only_one_that_is_left_out_is_kept():
    chain = [square(0, 0, 10, 0.9), square(4, 0, 10, 0.8), square(8, 0, 10, 0.7)]
    assert merged(chain, 0.5) == [chain[0], chain[2]]


def test_large_faces_come_first_whatever_their_confidence():
    faces = [square(0, 0, 10, 0.99), square(0, 0, 30, 0.3), square(0, 0, 20, 0.5)]
    assert [face.box[2] for face in largest_first(faces)] == [30, 20, 10]
