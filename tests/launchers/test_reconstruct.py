"""The launcher as a user meets it: what it writes, what it says, and its exit status."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage

ROOT = Path(__file__).parents[2]
ASTRONAUT = Path(skimage.__file__).parent / "data" / "astronaut.png"


def reconstruct(*arguments):
    command = [sys.executable, "-m", "experiments.reconstruct", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A folder of one good photo twice (one stem, two endings) and of everything that a photo may not be."""
    folder = tmp_path_factory.mktemp("photos")
    shutil.copy(ASTRONAUT, folder / "person.png")
    picture = cv2.imread(str(ASTRONAUT))
    cv2.imwrite(str(folder / "person.jpg"), picture)
    cv2.imwrite(str(folder / "tiny.png"), picture[:1, :1])
    cv2.imwrite(str(folder / "wall.png"), np.full((120, 120, 3), 90, np.uint8))
    (folder / "letter.jpg").write_text("Dear reader")
    (folder / "empty.jpg").write_bytes(b"")
    jpeg = (folder / "person.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    # A header that claims 100 megapixels, which nothing should try to decode.
    huge = cv2.imencode(".png", np.zeros((40, 40, 3), np.uint8))[1].tobytes()
    (folder / "huge.png").write_bytes(huge[:16] + (10000).to_bytes(4, "big") * 2 + huge[24:])
    return folder


@pytest.fixture(scope="module")
def result(mixed, tmp_path_factory):
    output = tmp_path_factory.mktemp("out")
    return reconstruct(f"--input={mixed}", f"--output={output}"), output


def test_good_photos_get_all_their_files(result):
    process, output = result
    assert process.returncode == 0, process.stderr
    for stem in ("person.jpg_0", "person.png_0"):
        assert all(
            (output / f"{stem}{ending}").stat().st_size > 1000 for ending in (".npz", ".obj", ".ply", "_overlay.png")
        )
    assert "2 faces" in process.stdout and str(output / "index.html") in process.stdout


@pytest.mark.parametrize("name", ["tiny.png", "wall.png", "letter.jpg", "empty.jpg", "cut.jpg", "huge.png"])
def test_each_bad_photo_is_one_line_that_names_it(result, name):
    process, output = result
    lines = [line for line in process.stderr.splitlines() if line.startswith("skipped: ") and name in line]
    assert len(lines) == 1
    assert name in (output / "index.html").read_text()
    assert "Traceback" not in process.stderr


def test_nothing_else_is_said(result):
    said = [line for line in result[0].stderr.splitlines() if line.strip() and "photo" not in line]
    assert all(line.startswith("skipped: ") for line in said)


def test_nothing_reconstructed_is_status_1(mixed, tmp_path):
    process = reconstruct(f"--input={mixed / 'letter.jpg'}", f"--output={tmp_path}")
    assert process.returncode == 1 and "letter.jpg" in process.stderr and "Traceback" not in process.stderr


@pytest.mark.parametrize("place", ["nowhere", "empty", "nowhere/*.jpg"])
def test_no_photos_at_all_is_one_line(tmp_path, place):
    (tmp_path / "empty").mkdir()
    process = reconstruct(f"--input={tmp_path / place}", f"--output={tmp_path / 'out'}")
    assert process.returncode == 1 and str(tmp_path / place) in process.stderr and "Traceback" not in process.stderr


def test_an_output_that_is_a_file_is_one_line(mixed, tmp_path):
    (tmp_path / "taken").write_text("")
    process = reconstruct(f"--input={mixed / 'person.png'}", f"--output={tmp_path / 'taken'}")
    assert process.returncode == 1 and "taken" in process.stderr and "Traceback" not in process.stderr


@pytest.mark.parametrize("output", ["out", "."])
def test_pictures_of_an_earlier_run_are_no_photos(tmp_path, output):
    """Also where photos lie below the output folder, as the demo's do."""
    (tmp_path / "photos").mkdir()
    shutil.copy(ASTRONAUT, tmp_path / "photos" / "person.png")
    for _ in range(2):
        process = reconstruct(f"--input={tmp_path}", f"--output={tmp_path / output}")
        assert process.stdout.startswith("1 face:"), process.stderr


def test_a_missing_flag_teaches():
    process = reconstruct()
    assert (process.returncode, process.stderr) == (1, "reconstruct: --output is missing; see --help\n")


def test_help_teaches():
    process = reconstruct("--help")
    assert "python -m experiments.reconstruct --input=photo.jpg --output=out" in process.stdout
    assert "--refine" in process.stdout or "--[no]refine" in process.stdout


# Where tests run in the background, the programs that they start do not hear Ctrl-C unless they ask for it.
INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("experiments.reconstruct", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_leaves_the_page_of_what_is_done(tmp_path):
    photos, output = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for k in range(30):
        shutil.copy(ASTRONAUT, photos / f"person{k:02d}.png")
    command = [sys.executable, "-c", INTERRUPTIBLE, f"--input={photos}", f"--output={output}", "--refine"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        while not (output / "person01_0.npz").exists():  # the first face is on the page by then
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "stopped before the end" in said and "Traceback" not in errors
    page = (output / "index.html").read_text()
    assert "person00.png" in page and "person29.png" not in page and "stopped before the end" in page
