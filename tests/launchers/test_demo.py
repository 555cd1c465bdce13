"""The demo and its make target: no photo is touched, whatever its name, and no earlier result remains."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import skimage

from tests.launchers.launching import launch

ROOT = Path(__file__).parents[2]
ASTRONAUT = Path(skimage.__file__).parent / "data" / "astronaut.png"


def npz_files(folder):
    return sorted(path.name for path in folder.rglob("*.npz"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_photo_within_the_output_survives_and_earlier_results_do_not(folder):
    photo = folder / "out" / "demo" / "photos" / "mine.png"
    photo.parent.mkdir(parents=True)
    shutil.copy(ASTRONAUT, photo)
    process = launch("demo", f"--photo={photo}")
    assert process.stdout.startswith("2 faces: "), process.stderr
    assert photo.read_bytes() == ASTRONAUT.read_bytes()
    assert npz_files(folder / "out") == ["astronaut_0.npz", "mine_0.npz"]
    assert launch("demo").stdout.startswith("1 face: ")
    assert photo.is_file() and npz_files(folder / "out") == ["astronaut_0.npz"]
    assert "mine" not in (folder / "out" / "demo" / "index.html").read_text()
    assert not list((folder / "out" / "demo" / "pictures").glob("mine*"))


def test_a_photo_named_as_the_bundled_one_has_results_of_its_own(folder):
    shutil.copy(ASTRONAUT, folder / "astronaut.png")
    assert launch("demo", "--photo=astronaut.png").stdout.startswith("2 faces: ")
    assert npz_files(folder / "out") == ["astronaut.png_0.npz", "astronaut_0.npz"]


def test_a_photo_that_is_missing_leaves_the_results(folder):
    launch("demo")
    process = launch("demo", "--photo=nowhere.png")
    assert process.returncode == 1 and "nowhere.png" in process.stderr
    assert npz_files(folder / "out") == ["astronaut_0.npz"]


@pytest.mark.parametrize("name", ["$HOME.png", "a$(id).png", "`id`.png", "-x.png", "a b'c\".png", "a#b;c.png"])
def test_make_passes_every_name_on_as_it_is(tmp_path, name):
    """The Makefile itself, with a program in the launcher's place that prints what it is given."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for file in ("requirements.txt", "pyproject.toml"):
        (tmp_path / file).touch()
    program = tmp_path / ".venv" / "bin" / "fml-demo"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "%s" "$FML_DEMO_PHOTO"\n')
    program.chmod(0o755)
    (tmp_path / ".venv" / "installed").touch()
    environment = {key: value for key, value in os.environ.items() if key not in ("PHOTO", "MAKEFLAGS", "MFLAGS")}
    for command, extra in ((["make", "-s", "demo", f"PHOTO={name}"], {}), (["make", "-s", "demo"], {"PHOTO": name})):
        result = subprocess.run(command, cwd=tmp_path, env=environment | extra, capture_output=True, text=True)
        assert (result.returncode, result.stdout) == (0, name), result.stderr


def test_the_variable_of_make_names_a_photo(folder, monkeypatch):
    shutil.copy(ASTRONAUT, folder / "-x$`.png")
    monkeypatch.setenv("FML_DEMO_PHOTO", "-x$`.png")
    assert launch("demo").stdout.startswith("2 faces: ")
    assert npz_files(folder / "out") == ["-x$`_0.npz", "astronaut_0.npz"]
