"""The page of a run: each value in its curve, the sheets, nothing from elsewhere, and clear errors."""

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.training.config import as_dict
from fml_jax.training.report import curves, draw_curves, write_report
from tests.training import stub

ROOT = Path(__file__).parents[2]


def row(step, **values):
    return {"step": step, **{name.replace("__", "/"): value for name, value in values.items()}}


@pytest.fixture
def workdir(tmp_path):
    """A run of two stages with some metrics and two sheets, as training leaves it."""
    config = stub.small_config(steps=(10, 30), levels=["base", "full"])
    (tmp_path / "config.json").write_text(json.dumps(as_dict(config)))
    always = dict(photos__photo=0.2, images_per_second=9.0, wait=0.1, seconds=1e9)
    rows = [row(step, loss=5 - step / 10, **always) for step in range(1, 31)]
    rows.append({"step": 30, "validation": 1.0, "photos/landmark_error": 0.0321})
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "sheets").mkdir()
    for step, grey in ((10, 40), (30, 200)):
        cv2.imwrite(str(tmp_path / f"sheets/step_{step:06d}.png"), np.full((30, 50, 3), grey, np.uint8))
    return tmp_path


def test_values_go_to_the_curves_that_they_belong_to():
    rows = [
        row(1, loss=2.0, photos__smo=3.0, synthetic__identity=4.0, gradient__photos__smo__final=5.0, wait=0.5),
        row(
            2,
            loss=float("nan"),
            photos__smo=3.5,
            changed__invariance=8.0,
            gradient__photos__smo__encoder=6.0,
            seconds=1e9,
        ),
        row(2, validation=1.0, photos__smo=7.0),
    ]
    found = curves(rows)
    lines = {(section, figure): lines for section, figures in found.items() for figure, lines in figures.items()}
    assert list(found) == [
        "Training",
        "Held-out faces",
        "Terms on photos",
        "Terms on photos mirrored or blurred",
        "Terms on synthetic faces",
        "Gradient norms",
        "Speed",
    ]
    assert lines["Training", "loss"][""].tolist() == [[1, 2]]
    assert lines["Held-out faces", "photos/smo"][""].tolist() == [[2, 7]]
    assert lines["Terms on photos", "smo"][""].tolist() == [[1, 3], [2, 3.5]]
    assert lines["Terms on synthetic faces", "identity"][""].tolist() == [[1, 4]]
    norms = {name: points.tolist() for name, points in lines["Gradient norms", "photos/smo"].items()}
    assert norms == {"encoder": [[2, 6]], "final": [[1, 5]]}
    assert lines["Terms on photos mirrored or blurred", "invariance"][""].tolist() == [[2, 8]]
    assert len(lines) == 7


def test_the_page_holds_curves_and_sheets_and_asks_for_nothing_else(workdir):
    page = write_report(workdir).read_text("utf-8")
    assert (
        page.count("<svg") == 5 and "loss: 2 at the end" in page and "photos/landmark_error: 0.0321 at the end" in page
    )
    assert "step 30 of 40 (stages: stage0 10, stage1 30)" in page
    assert (
        page.index("<summary>step 30") < page.index("<summary>step 10") and page.count("data:image/jpeg;base64,") == 2
    )
    # A reference within a figure begins with #; namespaces are names, not addresses.
    links = re.findall(r'(?:src|href)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page)
    assert all(link.startswith(("#", "data:")) for link in links)


def test_a_long_run_shows_a_dozen_sheets_the_ends_among_them(workdir):
    for step in range(40, 540, 10):
        (workdir / f"sheets/step_{step:06d}.png").write_bytes((workdir / "sheets/step_000010.png").read_bytes())
    page = write_report(workdir).read_text("utf-8")
    shown = [int(step) for step in re.findall(r"<summary>step (\d+)", page)]
    assert len(shown) == 12 and shown == sorted(shown, reverse=True) and shown[0] == 530 and shown[-1] == 10
    assert "40 more in sheets/" in page


def test_curves_are_thinned_and_the_borders_of_stages_drawn():
    points = np.stack([np.arange(100_000), np.random.default_rng(0).random(100_000)], 1)
    plain, bordered = draw_curves({"": points}), draw_curves({"": points}, [50_000])
    assert len(plain) < 200_000 and len(bordered) > len(plain)


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda folder: (folder / "metrics.jsonl").unlink(), "not a training run: it has no metrics.jsonl"),
        (lambda folder: (folder / "config.json").unlink(), "not a training run: it has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json or metrics.jsonl is damaged"),
        (
            lambda folder: (folder / "metrics.jsonl").write_text('{"loss": 1}\n'),
            "config.json or metrics.jsonl is damaged",
        ),
        (lambda folder: (folder / "metrics.jsonl").write_text(""), "nothing was measured yet"),
        (lambda folder: (folder / "sheets/step_000010.png").write_text("x"), "step_000010.png: not a picture"),
    ],
)
def test_what_is_no_run_is_told(workdir, spoil, said):
    spoil(workdir)
    with pytest.raises(InputError, match=said):
        write_report(workdir)


def test_the_command_says_so_in_one_line(tmp_path):
    nowhere = tmp_path / "none"
    command = [sys.executable, "-m", "experiments.report", f"--workdir={nowhere}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip() == f"report: {nowhere}: no such folder; give the --workdir of a training run"
