"""Sums of the table of photos, of rows made by hand, and photos that cannot be measured."""

from fml_jax.evaluation.job import Job
from fml_jax.evaluation.photo_table import PhotoErrors, table_of


def row(**numbers):
    found = {"photo": "a.jpg", "found": True, "wrong_boxes": "", "score": 1.0, "landmarks": 0.01, "pose": 2.0}
    return found | {"yaw": 0.0, "brightness": 0.4, "side light": 0.0, "colours, whole face": 0.1} | numbers


def test_errors_are_listed_by_yaw_light_age_and_group(tmp_path):
    rows = [
        row(yaw=-20.0, age=70, group="Black", landmarks=0.03, pose=6.0),
        row(yaw=10.0, age=20, group="White", brightness=0.2),
        {"photo": "b.jpg", "found": False, "wrong_boxes": "0.100"},
    ]
    table = table_of(rows, tmp_path)
    lines = {line[0]: line[1:] for line in table.parts[-2].rows}
    assert lines["yaw, degrees, 15–30"] == (1, "3.00 %", "3.00 %", "3.00 %", "6.0°")
    assert lines["brightness 0–0.35"][:2] == (1, "1.00 %")
    assert lines["age 65–130"][:2] == lines["Black"][:2] == (1, "3.00 %")
    assert lines["light from one side 0–0.1"][:2] == (2, "2.00 %")
    assert "Asian" not in lines and "yaw, degrees, 30–90" not in lines
    pose = table.parts[-3].rows
    assert [line[:3] for line in pose] == [("pose", 2, "4")]


def test_refined_errors_stand_beside_the_networks(tmp_path):
    refined = {"landmarks, refined": 0.005, "pose, refined": 1.0}
    table = table_of([row(**refined), row(landmarks=0.03)], tmp_path)
    assert table.parts[-2].header[-2:] == ["refined", "pose"]
    assert table.parts[-2].rows[0] == ("yaw, degrees, 0–15", 2, "2.00 %", "2.00 %", "2.80 %", "2.0°", "0.50 %", "1.0°")


def test_a_photo_that_cannot_be_read_is_left_out_with_a_warning(tmp_path, caplog):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    assert PhotoErrors(Job(tmp_path / "out"), tmp_path)(tmp_path / "broken.jpg") is None
    assert "left out: " in caplog.text and "broken.jpg" in caplog.text
