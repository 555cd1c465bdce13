"""What `fml-reconstruct` says of a clip: what it was given wrongly, and what it found."""

from fractions import Fraction

import numpy as np
import pytest
from skimage import data

from fml_jax.video.clips import ClipWriter, Frame
from tests.launchers.launching import launch


def write(path, picture, count=8):
    with ClipWriter(path, Fraction(25)) as writer:
        for k in range(count):
            writer.write(Frame(k, Fraction(k, 25), picture))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write(tmp_path_factory.mktemp("clips") / "still.mp4", data.astronaut())


def test_people_and_files_are_named(clip, tmp_path):
    done = launch("reconstruct", f"--input={clip}", f"--output={tmp_path}", "--formats=csv,npz")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 person in 8 frames, ") and str(tmp_path / "still_0_arkit.csv") in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"still_0_arkit.csv", "still_0.npz"}
    assert "frame/s" in done.stderr  # the bar


@pytest.mark.parametrize("flag", ["--refine", "--same_person", "--box=1,2,3,4", "--texture=photo"])
def test_flags_of_photos_are_refused(clip, tmp_path, flag):
    done = launch("reconstruct", f"--input={clip}", f"--output={tmp_path}", flag)
    assert done.returncode == 1 and f"{flag.partition('=')[0]} goes with photos, not with a clip" in done.stderr


def test_a_format_of_photos_is_refused(clip, tmp_path):
    done = launch("reconstruct", f"--input={clip}", f"--output={tmp_path}", "--formats=obj")
    assert done.returncode == 1 and "'obj' is none of clips" in done.stderr


def test_a_clip_without_faces_and_a_damaged_one_are_one_line(tmp_path):
    empty = write(tmp_path / "empty.mp4", np.full((64, 64, 3), 90, np.uint8))
    done = launch("reconstruct", f"--input={empty}", f"--output={tmp_path / 'out'}")
    assert done.returncode == 1 and "empty.mp4: no face found in 8 frames" in done.stderr
    empty.write_bytes(empty.read_bytes()[:500])
    done = launch("reconstruct", f"--input={empty}", f"--output={tmp_path / 'out'}")
    assert done.returncode == 1 and "empty.mp4: cannot be read as a video" in done.stderr
    assert not list((tmp_path / "out").iterdir())
