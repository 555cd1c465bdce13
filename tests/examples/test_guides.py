"""The guides' commands and programs run as they stand, in the order of the page, and so does the notebook."""

import os
import re
import shlex
import shutil
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from fml_jax.export.code_files import read_code_file
from fml_jax.video.clips import ClipWriter, Frame
from tests.launchers.launching import launch

ROOT = Path(__file__).parents[2]
GUIDES = ROOT / "docs" / "guides"
# A command on an indented line, or a program in a block.
PIECE = re.compile(r"^    (fml-[^\n]+)$|^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with a photo, in which everything runs."""
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("photo.jpg", cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR))
    return tmp_path


def run(guide, shortened=None):
    """Runs all pieces of a guide; `shortened` may change the arguments of a command."""
    pieces = [(match[1], match[2]) for match in PIECE.finditer((GUIDES / guide).read_text("utf-8"))]
    assert pieces
    names = {}  # programs of a page follow each other
    for command, program in pieces:
        if program:
            exec(compile(program, guide, "exec"), names)
            continue
        name, *arguments = shlex.split(command)
        name = name.removeprefix("fml-").replace("-", "_")
        done = launch(name, *(shortened(name, arguments) if shortened else arguments))
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_guide_to_reconstruction(folder):
    run("reconstruct.md")
    names = {path.name for path in (folder / "out").iterdir()}
    assert {"photo_0.npz", "photo_0.glb", "photo_0_overlay.png", "index.html", "viewer.html", "failures.csv"} <= names
    assert (folder / "out_refined" / "photo_0.npz").is_file() and (folder / "out_box" / "photo_0.npz").is_file()


def test_guide_to_the_viewer(folder):
    run("viewer.md")
    assert {"face.html", "faces.html"} <= {path.name for path in folder.iterdir()}
    assert (folder / "out" / "viewer.html").stat().st_size < 3 << 20


def test_guide_to_several_photos(folder):
    (folder / "PHOTOS").mkdir()
    for name, flipped in (("a.jpg", False), ("b.jpg", True)):
        picture = cv2.imread("photo.jpg")
        cv2.imwrite(f"PHOTOS/{name}", cv2.flip(picture, 1) if flipped else picture)
    run("several_photos.md")
    codes = [read_code_file(folder / "out" / f"{name}_0.npz")["code"] for name in "ab"]
    np.testing.assert_array_equal(codes[0].identity, codes[1].identity)
    assert np.abs(codes[0].rotation - codes[1].rotation).max() > 0.01
    assert (folder / "person.glb").is_file()


def test_guide_to_clips(folder):
    photo = cv2.cvtColor(cv2.imread("photo.jpg"), cv2.COLOR_BGR2RGB)
    with ClipWriter(folder / "clip.mp4", Fraction(25)) as writer:
        for k in range(10):
            writer.write(Frame(k, Fraction(k, 25), np.roll(photo, 2 * k, axis=1)))
    run("video.md")
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {"clip_overlay.mp4", "clip_0.glb", "clip_0_arkit.csv", "clip_0.npz"}
    assert [path.name for path in (folder / "out_csv").iterdir()] == ["clip_0_arkit.csv"]


@pytest.mark.slow
def test_guide_to_training_with_a_few_photos_and_steps(folder, shared):
    (folder / "fml_jax").symlink_to(ROOT / "fml_jax")
    people = sorted(path for path in (shared / "photos" / "lfw").iterdir() if len(list(path.iterdir())) > 1)[:40]
    for person in people:
        shutil.copytree(person, folder / "PHOTOS" / person.name)
    os.makedirs("runs")

    def shortened(name, arguments):
        few = {"prepare": ["--workers=1"], "train": []}.get(name, [])
        if name == "train":
            few = [
                "--config.stages.levels.steps=3",
                "--config.stages.levels.photos=4",
                "--config.stages.levels.synthetic=2",
                "--config.delta_faces=20",
                "--config.log_every=1",
            ]
        return [re.sub(r"^--count=.*", "--count=16", argument) for argument in arguments] + few

    run("train_on_your_photos.md", shortened)
    assert (folder / "runs" / "mine" / "report.html").is_file() and (folder / "out" / "viewer.html").is_file()


def test_the_notebook_runs_and_shows_pictures(tmp_path):
    import nbclient
    import nbformat

    notebook = nbformat.read(ROOT / "examples" / "reconstruct.ipynb", as_version=4)
    assert str(Path.home()) not in str(notebook) and not any(
        output.get("name") == "stderr" for cell in notebook.cells for output in cell.get("outputs", [])
    )
    client = nbclient.NotebookClient(
        notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 2
    assert (tmp_path / "face.html").is_file() and (tmp_path / "face.glb").is_file()
