"""Shards: the same whatever made them, nothing lost and nothing twice whenever the build is killed."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from fml_jax.corpus.records import decode, read_shard
from fml_jax.errors import InputError
from tests.corpus.stub_build import COUNT, PER_SHARD, Number, build


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, build(folder, workers=1)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_each_item_is_an_example_or_a_reason(whole):
    folder, shards = whole
    assert len(shards) == COUNT / PER_SHARD
    entries = [entry for shard in shards for entry in shard.entries]
    assert len(entries) == COUNT
    rejected = [entry for entry in entries if "reason" in entry]
    assert [entry["detail"] for entry in rejected] == [f"number {k}" for k in range(3, COUNT, 7)]
    examples = [decode(record) for shard in shards for record in read_shard(folder / shard.file)]
    assert [example.name for example in examples] == [f"Zoë/{k}.jpg" for k in range(COUNT) if k % 7 != 3]
    assert [entry["name"] for entry in entries if "reason" not in entry] == [example.name for example in examples]


def test_processes_write_the_same_bytes(whole, tmp_path):
    build(tmp_path, workers=3)
    assert contents(tmp_path) == contents(whole[0])


def test_a_killed_build_goes_on_with_nothing_lost_and_nothing_twice(whole, tmp_path):
    """SIGKILL at random moments, again and again, until a run comes through."""
    rng = random.Random(0)
    kills = 0
    while True:
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.corpus.stub_build", str(tmp_path), "2"], stderr=subprocess.DEVNULL
        )
        before = finished(tmp_path)
        if kills < 3:
            wait_until(lambda before=before, program=program: finished(tmp_path) > before or program.poll() is not None)
            time.sleep(rng.uniform(0, 0.15))
            program.send_signal(signal.SIGKILL)
        if program.wait() == 0:
            break
        kills += 1
        stamps = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.jsonl")}
    assert kills >= 2
    assert contents(tmp_path) == contents(whole[0])
    for name, stamp in stamps.items():
        assert (tmp_path / name).stat().st_mtime_ns == stamp  # what was finished was not made again


def finished(folder):
    return len(list(folder.glob("*.jsonl")))


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_their_parent(tmp_path):
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.corpus.stub_build", str(tmp_path), "2"], stderr=subprocess.DEVNULL
    )
    wait_until(lambda: finished(tmp_path) > 0)
    workers = open(f"/proc/{program.pid}/task/{program.pid}/children").read().split()
    assert len(workers) >= 2
    program.kill()
    program.wait()
    wait_until(lambda: not any(is_running(worker) for worker in workers), seconds=20)


def is_running(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_lost_shard_is_made_again(whole, tmp_path):
    build(tmp_path, workers=1)
    (tmp_path / "00003-of-00015.arrayrecord").unlink()
    (tmp_path / "00007-of-00015.jsonl").unlink()
    (tmp_path / "00001-of-00015.arrayrecord.99.partial").write_bytes(b"cut off")
    build(tmp_path, workers=1)
    assert contents(tmp_path) == contents(whole[0])


def test_a_full_disk_leaves_no_report(tmp_path, monkeypatch):
    from fml_jax.corpus import shards

    def full(path, records):
        raise InputError(f"{path}: cannot be written (No space left on device)")

    monkeypatch.setattr(shards, "write_shard", full)
    with pytest.raises(InputError, match="No space left"):
        build(tmp_path, workers=1)
    assert not list(tmp_path.glob("*.jsonl"))


class Deadly:
    def __init__(self, die):
        self._die = die

    def __call__(self, item):
        self._die()


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def exited():
    os._exit(9)


@pytest.mark.parametrize("die, said", [(killed, r"was killed .out of memory\?."), (exited, r"died .exit status 9.")])
def test_a_worker_that_dies_is_told(tmp_path, die, said):
    from fml_jax.corpus.shards import build_shards

    with pytest.raises(InputError, match=f"a worker process {said}"):
        build_shards(tmp_path, [Number("stub/0", "stub", 0)], Deadly(die), workers=2)


class CannotStart:
    def start(self):
        raise InputError("nothing to start with")

    def __call__(self, item):
        raise AssertionError("it did not start")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_cannot_start_says_why(tmp_path, workers):
    from fml_jax.corpus.shards import build_shards

    with pytest.raises(InputError, match="^nothing to start with$"):
        build_shards(tmp_path, [Number("stub/0", "stub", 0)], CannotStart(), workers=workers)
