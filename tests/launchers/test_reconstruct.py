"""The launcher as a user meets it: what it writes, what it says, and its exit status."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

import cv2
import numpy as np
import pytest
import skimage

from fml_jax.export import read_code_file
from tests.launchers.launching import launch

ROOT = Path(__file__).parents[2]
ASTRONAUT = Path(skimage.__file__).parent / "data" / "astronaut.png"


def reconstruct(*arguments):
    return launch("reconstruct", *arguments)


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
        assert all((output / f"{stem}{ending}").stat().st_size > 1000 for ending in (".npz", ".glb", "_overlay.png"))
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
    command = [sys.executable, "-m", "experiments.reconstruct", "--help"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "python -m experiments.reconstruct --input=photo.jpg --output=out" in process.stdout
    assert "--refine" in process.stdout or "--[no]refine" in process.stdout


def test_results_never_share_a_name(tmp_path):
    photos, output = tmp_path / "photos", tmp_path / "out"
    (photos / "sub").mkdir(parents=True)
    names = ["a.jpg", "a.png", "a.jpg_2.jpg", "sub/a.jpg"]
    for name in names:
        shutil.copy(ASTRONAUT, photos / name)
    process = reconstruct(f"--input={photos}", f"--output={output}")
    assert process.stdout.startswith("4 faces: "), process.stderr
    found = {str(path.relative_to(output)): read_code_file(path)["source"] for path in output.rglob("*.npz")}
    stems = {"a.jpg_0": "a.jpg", "a.png_0": "a.png", "a.jpg_2_0": "a.jpg_2.jpg", "sub/a_0": "sub/a.jpg"}
    assert found == {f"{stem}.npz": str(photos / name) for stem, name in stems.items()}
    page = (output / "index.html").read_text()
    assert all(f"<h2>{name}, face 0<" in page for name in names)
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) == 4 * 10
    assert all((output / unquote(link.partition("#")[0])).is_file() for link in links)


def test_photos_of_another_folder_do_not_overwrite_the_first(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shutil.copy(ASTRONAUT, tmp_path / folder / "img.png")
        assert reconstruct(f"--input={tmp_path / folder}", f"--output={tmp_path / 'out'}").returncode == 0
    sources = {path.name: read_code_file(path)["source"] for path in (tmp_path / "out").glob("*.npz")}
    assert sources == {
        "img_0.npz": str(tmp_path / "one" / "img.png"),
        "img.png_0.npz": str(tmp_path / "two" / "img.png"),
    }


def test_odd_names_have_results_and_links(tmp_path):
    photos, output = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    names = [b"bad\xff.jpg", b"x" * 240 + b".jpg", b"<i>&#$ `.jpg", "Zoë 👩.jpg".encode(), b"two\nlines.jpg"]
    for name in names:
        shutil.copy(ASTRONAUT, os.path.join(os.fsencode(photos), name))
    (photos / os.fsdecode(b"empty\xff.jpg")).touch()
    process = reconstruct(f"--input={photos}", f"--output={output}")
    assert process.returncode == 0 and process.stdout.startswith("5 faces: ")
    assert {b"bad\xff_0.glb", b"<i>&#$ `_0.npz"} <= set(os.listdir(os.fsencode(output)))
    page = (output / "index.html").read_text("utf-8")
    links = [unquote_to_bytes(link.partition("#")[0]) for link in re.findall(r'(?:src|href)="([^"]+)"', page)]
    assert len(links) == 5 * 10 + 1
    assert all(os.path.isfile(os.path.join(os.fsencode(output), link)) for link in links)
    assert "&lt;i&gt;&amp;#$ `.jpg" in page and "Zoë 👩.jpg" in page
    assert r"empty\udcff.jpg: the file is empty" in (output / "failures.csv").read_text("utf-8")
    assert not [line for line in process.stderr.splitlines() if "empty" in line and not line.startswith("skipped: ")]


def test_a_photo_whose_results_cannot_be_written_is_one_row(tmp_path):
    photos, output = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(ASTRONAUT, photos / name)
    (output / "a_0.glb").mkdir(parents=True)  # where a file should be
    process = reconstruct(f"--input={photos}", f"--output={output}")
    assert process.returncode == 0 and process.stdout.startswith("1 face: ")
    assert len(re.findall("skipped: .*a_0.glb: cannot be written", process.stderr)) == 1
    left = {path.name for path in output.iterdir()}
    assert "b_0.npz" in left and {name for name in left if name.startswith("a")} == {"a_0.glb"}
    assert "a_0.glb: cannot be written" in (output / "index.html").read_text()
    (output / "a_0.glb").rmdir()
    assert reconstruct(f"--input={photos}", f"--output={output}").stdout.startswith("2 faces: ")


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system of some size on a folder."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(size, *options):
        command = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs", str(place)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            if os.environ.get("CI"):
                pytest.fail(f"CI cannot mount a small disk, so that full disks would go untested: {result.stderr}")
            pytest.skip(f"a full disk is not tested, since nothing can be mounted: {result.stderr.strip()}")
        return place

    yield mount
    subprocess.run(["umount", str(place)], capture_output=True)


def test_a_disk_without_room_for_one_face_is_one_line_and_leaves_no_part_of_it(small_disk):
    output = small_disk("2m")
    process = reconstruct(f"--input={ASTRONAUT}", f"--output={output}")
    assert process.returncode == 1 and "Traceback" not in process.stderr
    assert len(re.findall("^reconstruct: .*No space left on device", process.stderr, re.MULTILINE)) == 1
    assert not [path for path in output.rglob("*") if path.suffix in (".npz", ".glb", ".png", ".partial")]


def test_a_disk_that_becomes_full_keeps_what_is_done_with_its_page(small_disk, tmp_path):
    photos, output = tmp_path / "photos", small_disk("9m")
    photos.mkdir()
    for k in range(4):
        shutil.copy(ASTRONAUT, photos / f"p{k}.png")
    process = reconstruct(f"--input={photos}", f"--output={output}")
    assert process.returncode == 1 and "Traceback" not in process.stderr
    assert len(re.findall("^reconstruct: .*No space left on device", process.stderr, re.MULTILINE)) == 1
    assert process.stdout.startswith("1 face, stopped before the end: ")
    page = (output / "index.html").read_text()
    assert "p0.png" in page and "p3.png" not in page
    names = {path.name for path in output.rglob("*") if path.is_file()}
    assert not [name for name in names if name.startswith(("p1", "p2", "p3")) or name.endswith(".partial")]
    small_disk("80m", "remount")
    assert reconstruct(f"--input={photos}", f"--output={output}").stdout.startswith("4 faces: ")


def test_all_failed_before_is_status_1_and_names_the_log(mixed, tmp_path):
    for _ in range(2):
        process = reconstruct(f"--input={mixed / 'letter.jpg'}", f"--output={tmp_path}")
        assert process.returncode == 1 and f"1 photo without a face: {tmp_path / 'failures.csv'}" in process.stderr


def test_formats_are_chosen_and_added_later(tmp_path):
    first = reconstruct(f"--input={ASTRONAUT}", f"--output={tmp_path}", "--formats=npz,obj")
    assert first.stdout.startswith("1 face: ")
    made = {path.name for path in tmp_path.glob("astronaut_0*")}
    assert made == {f"astronaut_0{ending}" for ending in (".npz", ".obj", ".mtl", "_texture.png")}
    second = reconstruct(f"--input={ASTRONAUT}", f"--output={tmp_path}", "--formats=npz,camera,mask")
    assert second.stdout.startswith("1 face: ")
    assert {"astronaut_0_camera.json", "astronaut_0_mask.png"} <= {path.name for path in tmp_path.iterdir()}
    links = re.findall(r'<a href="(astronaut_0[^"]*)"', (tmp_path / "index.html").read_text())
    assert {"astronaut_0.obj", "astronaut_0_mask.png", "astronaut_0_camera.json"} <= set(links)


def test_an_unknown_format_is_one_line(tmp_path):
    process = reconstruct(f"--input={ASTRONAUT}", f"--output={tmp_path}", "--formats=glb,stl")
    assert process.returncode == 1 and "'stl' is unknown; choose from npz, glb" in process.stderr
    assert "Traceback" not in process.stderr


def test_boxes_go_with_one_photo(mixed, tmp_path):
    process = reconstruct(f"--input={mixed}", f"--output={tmp_path}", "--box=1,2,3,4")
    assert process.returncode == 1 and "--box goes with one photo" in process.stderr


# Where tests run in the background, the programs that they start do not hear Ctrl-C unless they ask for it.
INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("experiments.reconstruct", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_leaves_the_page_of_what_is_done(tmp_path):
    photos, output = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    first = shutil.copy(ASTRONAUT, tmp_path)
    for k in range(150):  # more than are done before it hears the signal
        os.link(first, photos / f"person{k:03d}.png")
    command = [sys.executable, "-c", INTERRUPTIBLE, f"--input={photos}", f"--output={output}", "--workers=1"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        while not (output / "person001_0.npz").exists():  # the first face is on the page by then
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "stopped before the end" in said and "Traceback" not in errors
    page = (output / "index.html").read_text()
    assert "person000.png" in page and "person149.png" not in page and "stopped before the end" in page
