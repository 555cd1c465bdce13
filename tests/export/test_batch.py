"""Batches of photos: nothing is lost, done twice or left unfinished, whoever does the work and however it ends."""

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
import threadpoolctl

from fml_jax.errors import InputError
from fml_jax.export import job_work, jobs
from fml_jax.export.result_folder import FILE, ResultFolder
from tests.export.stub_batch import run

COUNT = 70  # photos, of which the stub finds 1 face in 42, 2 in 14 and none in 14
FACES = 70


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos in three folders; the stub does not read them."""
    folder = tmp_path_factory.mktemp("photos")
    for k in range(COUNT):
        place = folder / f"set{k % 3}"
        place.mkdir(exist_ok=True)
        (place / f"p{k}.jpg").write_bytes(b"photo")
    return folder


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """What a run leaves that nothing disturbs."""
    output = tmp_path_factory.mktemp("whole")
    assert run(photos, output).faces == FACES
    return contents(output)


def contents(folder):
    """All files but the entries, which are compared as rows."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    files.pop(FILE)
    with sqlite3.connect(folder / FILE) as base:
        rows = base.execute("SELECT path, stem, faces, dropped, failure FROM photos ORDER BY path").fetchall()
    base.close()
    return files, rows


def wait_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def saved(output):
    return sum(1 for _ in output.rglob("*.npz"))


def test_every_photo_has_its_files_or_a_reason(photos, whole):
    files, rows = whole
    assert len(rows) == COUNT and sum(name.endswith(".npz") for name in files) == FACES
    assert {
        "set0/p0_0.npz",
        "set0/p6_1_camera.json",
        "set1/p1_1_overlay.png",
        "pictures/set1/p1_1.geometry.jpg",
    } <= set(files)
    log = files["failures.csv"].decode().splitlines()
    assert log[0] == "photo,reason" and len(log) == 1 + 14 + 14
    assert "set0/p3.jpg,set0/p3.jpg: no face found" in log and "set2/p2.jpg,set2/p2.jpg: a box scores too low" in log


def test_processes_write_the_same_files(photos, whole, tmp_path):
    assert run(photos, tmp_path, workers=2).faces == FACES
    assert contents(tmp_path) == whole


def test_a_killed_run_continues_to_the_same_files(photos, whole, tmp_path):
    """SIGKILL at random moments."""
    rng, kills = random.Random(0), 0
    while True:
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.export.stub_batch", photos, tmp_path, "1", "0.02"], stderr=subprocess.DEVNULL
        )
        before = saved(tmp_path)
        if kills < 2:
            wait_until(lambda program=program, before=before: saved(tmp_path) > before or program.poll() is not None)
            time.sleep(rng.uniform(0.2, 1))
            program.send_signal(signal.SIGKILL)
        if program.wait() == 0:
            break
        kills += 1
    assert kills == 2
    assert contents(tmp_path) == whole


def test_what_is_done_is_not_done_again(photos, whole, tmp_path):
    run(photos, tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    assert run(photos, tmp_path, odd=0).faces == FACES  # the stub would fail at photo 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")} == stamps
    (tmp_path / "set0" / "p0_0.ply").unlink()
    run(photos, tmp_path)
    assert contents(tmp_path) == whole
    assert sum(path.stat().st_mtime_ns != stamps[path] for path in stamps) <= 2 * jobs.PHOTOS_PER_JOB
    run(photos, tmp_path, redo=True)
    assert all(path.stat().st_mtime_ns != stamps[path] for path in stamps)
    assert contents(tmp_path) == whole


def test_new_and_changed_photos_are_done(tmp_path):
    photos, output = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    (photos / "a1.jpg").write_bytes(b"photo")
    assert run(photos, output).faces == 2
    (photos / "a1.jpg").write_bytes(b"another photo")
    (photos / "a1.png").write_bytes(b"photo")  # a1 is taken by now
    (photos / "b3.jpg").write_bytes(b"photo")
    assert run(photos, output).faces == 4
    names = {path.name for path in output.glob("*.npz")}
    assert names == {"a1_0.npz", "a1_1.npz", "a1.png_0.npz", "a1.png_1.npz"}


def test_a_photo_that_fails_unexpectedly_is_one_row(photos, whole, tmp_path):
    assert run(photos, tmp_path, odd=5).faces == FACES - 1
    with ResultFolder(tmp_path) as results:
        reasons = dict(results.failures())
    assert "ZeroDivisionError: an odd photo" in reasons["set2/p5.jpg"]
    assert run(photos, tmp_path).faces == FACES  # another program version may be able to do it
    assert contents(tmp_path) == whole


class Deadly:
    """The stub, which kills its process at its first photos."""

    def __init__(self, folder):
        self._folder = folder

    def __call__(self):
        from tests.export.stub_batch import StubReconstructor

        threading.Thread(target=self._kill_later, daemon=True).start()
        return StubReconstructor(0.05, in_worker=True)

    def _kill_later(self):
        wait_until(lambda: saved(self._folder) > 3)
        try:
            (self._folder.parent / "killed").touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_loses_nothing(photos, whole, tmp_path):
    output = tmp_path / "out"
    outcome = run(photos, output, workers=2, load=Deadly(output))
    assert (tmp_path / "killed").exists() and outcome.faces == FACES
    assert contents(output) == whole


@pytest.mark.slow
def test_a_ray_cluster_writes_the_same_files(photos, whole, tmp_path):
    if "CI" not in os.environ:  # there nothing may be left out
        pytest.importorskip("ray")
    import ray

    from fml_jax.runners import run_on_ray

    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        assert run(photos, tmp_path, workers=2, runner=run_on_ray).faces == FACES
    finally:
        ray.shutdown()
    assert contents(tmp_path) == whole


def test_matrix_products_have_one_thread_during_a_job_and_all_of_them_after_it(photos, tmp_path, monkeypatch):
    during = []

    monkeypatch.setattr(job_work, "painted_for_page", lambda pictures: during.append(blas_threads()))
    before = blas_threads()
    run(photos / "set0", tmp_path / "out")
    assert during and all(set(each) == {1} for each in during)
    assert blas_threads() == before


def blas_threads():
    """The number of threads of each library of matrix products in this process."""
    return [each["num_threads"] for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"]


def test_a_second_program_in_the_same_folder_is_refused(tmp_path):
    with ResultFolder(tmp_path), pytest.raises(InputError, match="another program"):
        ResultFolder(tmp_path)


def test_a_file_that_is_no_record_is_named(tmp_path):
    (tmp_path / FILE).write_bytes(b"something else" * 100)
    with pytest.raises(InputError, match=f"{re.escape(FILE)}: cannot be used"):
        ResultFolder(tmp_path)


def test_more_than_a_hundred_faces_are_paged(tmp_path):
    photos, output = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for k in range(150):
        (photos / f"{k:04d}.jpg").write_bytes(b"photo")
    assert run(photos, output).faces == 150
    index = (output / "index.html").read_text()
    links = re.findall(r'href="(pages/[^"]+)"', index)
    assert links == ["pages/0001.html", "pages/0002.html"] and "0000.jpg" in index and "failures.csv" in index
    pages = [(output / link).read_text() for link in links]
    assert [page.count("<section>") for page in pages] == [100, 50]
    for page in pages:
        for link in re.findall(r'(?:src|href)="([^"]+)"', page):
            assert (output / "pages" / link.partition("#")[0]).is_file(), link


MEMORY = """
import sys, resource
from pathlib import Path
from tests.export.stub_batch import run
run(Path(sys.argv[1]) / "few", Path(sys.argv[2]) / "few")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run(Path(sys.argv[1]) / "many", Path(sys.argv[2]) / "many")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts kilobytes on Linux")
def test_memory_does_not_grow_with_the_number_of_photos(tmp_path):
    for name, count in (("few", 32), ("many", 120)):
        (tmp_path / name).mkdir()
        for k in range(count):
            (tmp_path / name / f"{k}.jpg").write_bytes(b"photo")
    program = [sys.executable, "-c", MEMORY, str(tmp_path), str(tmp_path / "out")]
    result = subprocess.run(program, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 20_000  # kilobytes; a face has about 50 here, its pictures 1,000
