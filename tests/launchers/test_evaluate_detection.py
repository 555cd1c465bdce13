"""The table of how many faces are found: what is written, and what is said about wrong arguments."""

import json
import shutil

import pytest

from tests.launchers.launching import launch


@pytest.fixture
def photos(shared, tmp_path):
    """The collections, and one portrait instead of all."""
    for name in ("lfw", "youtube", "utkface", "masked"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / name).symlink_to(shared / "photos" / name)
    (tmp_path / "photos" / "portraits").mkdir()
    portrait = min((shared / "photos" / "portraits").glob("*.*"), key=lambda path: path.stat().st_size)
    shutil.copy(portrait, tmp_path / "photos" / "portraits")
    return tmp_path / "photos"


def test_the_table_the_numbers_and_the_missed_faces_are_written(photos, tmp_path):
    output = tmp_path / "out"
    arguments = ["--split=validation", "--stage=detector", "--sets=upright,edge", "--count=1"]
    result = launch("evaluate_detection", f"--photos={photos}", f"--output={output}", *arguments)
    assert result.returncode == 0, result.stderr
    numbers = json.loads((output / "results.json").read_text())
    assert (numbers["split"], numbers["stage"]) == ("validation", "detector")
    upright, edge = numbers["results"]
    assert (upright["set"], upright["detector"], upright["faces"], edge["set"]) == ("upright", "auto", 10, "edge")
    assert upright["detected"] == 10 - len([name for name in upright["missed"] if "not detected" in name]) >= 9
    table = (output / "table.md").read_text()
    assert table in result.stdout and "| upright" in table and "| edge" in table
    assert (output / "portraits.md").read_text() in result.stdout and (output / "portraits_auto.png").is_file()
    assert len(json.loads((output / "landmarks.json").read_text())) >= 10  # so that the next run is quicker


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--sets=upright,profiles"], "profiles: unknown; choose from upright, rotated"),
        (["--detectors=hog"], "hog: unknown; choose from auto, libfacedetection"),
        (["--sets=upright"], "no folder lfw in it; give the folder of lfw, youtube, utkface, masked"),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path, arguments, said):
    result = launch("evaluate_detection", f"--photos={tmp_path}", f"--output={tmp_path}/out", *arguments)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert said in result.stderr.splitlines()[-1]


def test_its_help_has_an_example_and_every_flag(capsys):
    result = launch("evaluate_detection", "--help")
    assert result.returncode == 0 and "fml-evaluate-detection --photos=PHOTOS" in result.stdout
    for flag in ("photos", "output", "split", "count", "sets", "detectors", "stage", "weights"):
        assert f"--{flag}" in result.stdout or f"--[no]{flag}" in result.stdout
