"""The examples run as they stand."""

import runpy
import sys
from pathlib import Path

import cv2
import pytest
from skimage import data

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def photo(tmp_path):
    cv2.imwrite(str(tmp_path / "astronaut.png"), cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR))
    return str(tmp_path / "astronaut.png")


def run(monkeypatch, example, *arguments):
    monkeypatch.setattr(sys, "argv", [example, *arguments])
    return runpy.run_path(str(EXAMPLES / example), run_name="__main__")


def test_fit_photo_lowers_the_energy(monkeypatch, photo, capsys):
    found = run(monkeypatch, "fit_photo.py", photo)
    assert found["after"] < 0.9 * found["before"] and "energy" in capsys.readouterr().out


def test_predict_batch_prints_a_line_a_face(monkeypatch, photo, capsys):
    run(monkeypatch, "predict_batch.py", photo, photo)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all("astronaut.png: score 0.9" in line or "score 1.0" in line for line in lines)
