"""Landmarks beside scans."""

import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.evaluation.scan_landmarks import SEVEN_INNER, landmarks_beside, read_points
from tests.evaluation.benchmark_stubs import write_picked

POINTS = np.random.default_rng(0).normal(0, 50, (68, 3)).round(3)


def lines(points, separator):
    return "\n".join(separator.join(map(str, point)) for point in points)


@pytest.mark.parametrize("separator, heading", [(",", "x,y,z\n"), (" ", ""), (";", ""), ("\t", "")])
def test_numbers_are_read_whatever_separates_them(tmp_path, separator, heading):
    (tmp_path / "a.txt").write_text(heading + lines(POINTS, separator) + "\n\n")
    np.testing.assert_array_equal(read_points(tmp_path / "a.txt"), POINTS)


def test_picked_points_of_meshlab_are_read_in_their_order(tmp_path):
    write_picked(tmp_path / "a.pp", POINTS[:7])
    np.testing.assert_array_equal(read_points(tmp_path / "a.pp"), POINTS[:7])


@pytest.mark.parametrize("count", [68, 51, 7])
def test_landmarks_beside_a_scan_become_the_points_without_the_contour(tmp_path, count):
    (tmp_path / "someone.landmarks.csv").write_text(lines(POINTS[-count:], ","))
    marks = landmarks_beside(tmp_path / "someone.obj")
    if count == 7:
        np.testing.assert_array_equal(marks[SEVEN_INNER], POINTS[-7:])
        assert np.isnan(marks).any(1).sum() == 44
    else:
        np.testing.assert_array_equal(marks, POINTS[17:])
    assert landmarks_beside(tmp_path / "another.obj") is None


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.csv", ""),
        ("a.csv", "1,2\n3,4\n"),
        ("a.csv", "1,2,nan\n"),
        ("a.csv", "1,2,1e300\n"),
        ("a.csv", "1,2,3\n1,2,three\n"),
        ("a.csv", "\x00\xff" * 50),
        ("a.csv", "1,2,3\n" * 300_000),
        ("a.pp", '<!DOCTYPE a [<!ENTITY b "bb">]><PickedPoints><point x="&b;" y="1" z="2"/></PickedPoints>'),
        ("a.pp", '<point x="1" y="2"/>'),
    ],
)
def test_files_without_landmarks_give_one_line(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=f"{name}: ") as error:
        read_points(tmp_path / name)
    assert "\n" not in str(error.value)


def test_another_number_of_landmarks_and_absent_files_are_refused(tmp_path):
    (tmp_path / "someone.landmarks.txt").write_text("1 2 3\n4 5 6\n")
    with pytest.raises(InputError, match="someone.landmarks.txt: 2 points; give iBUG's 68"):
        landmarks_beside(tmp_path / "someone.ply")
    with pytest.raises(InputError, match="nowhere.csv: cannot be read"):
        read_points(tmp_path / "nowhere.csv")
