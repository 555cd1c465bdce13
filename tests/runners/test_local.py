"""Processes of one machine: every job is done, also where workers are killed, and Ctrl-C waits for none of them."""

import contextlib
import os
import signal
import time

import pytest

from fml_jax.errors import InputError
from fml_jax.runners import local, run_in_processes


class Square:
    """Squares numbers; kills its process the first time it meets a number of `deadly`, whose marks lie in a folder."""

    def __init__(self, folder=None, deadly=(), always=()):
        self._folder, self._deadly, self._always = folder, deadly, always

    def start(self):
        pass

    def __call__(self, job, note):
        note(False, 2)
        if job in self._always:
            os.kill(os.getpid(), signal.SIGKILL)
        mark = self._folder / str(job) if job in self._deadly else None
        if mark is not None and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        note(True)
        return job * job


class SquareWithLock(Square):
    """Is killed while it counts."""

    def __call__(self, job, note):
        if job in self._deadly and not (self._folder / str(job)).exists():
            local._Process.counts.get_lock().acquire()
        return super().__call__(job, note)


@contextlib.contextmanager
def at_most(seconds):
    """Ends a test that waits for ever."""

    def late(number, frame):
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Counts:
    def __init__(self):
        self.counts = [0, 0]

    def __call__(self, rejected, items=1):
        self.counts[rejected] += items


def squares(*parts, workers=2, **keywords):
    counts = Counts()
    return sorted(run_in_processes(Square(*parts, **keywords), iter(range(12)), workers, note=counts)), counts.counts


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_gives_its_result_and_is_counted(workers):
    assert squares(workers=workers) == ([k * k for k in range(12)], [24, 12])


def test_the_jobs_of_a_killed_worker_are_done_by_another(tmp_path):
    assert squares(tmp_path, deadly=(3, 8)) == ([k * k for k in range(12)], [24, 12])


def test_a_worker_that_is_killed_while_it_counts_stops_nobody(tmp_path):
    task = SquareWithLock(tmp_path, deadly=(3,))
    with at_most(60):
        found = sorted(run_in_processes(task, iter(range(12)), 2, note=Counts()))
    assert found == [k * k for k in range(12)]


def test_a_job_that_kills_every_worker_ends_the_run_after_all_others_are_done():
    found = []
    with pytest.raises(InputError, match=r"was killed .out of memory\?."):
        for square in run_in_processes(Square(always=(0,)), range(12), 2, note=Counts()):
            found.append(square)
    assert sorted(found) == [k * k for k in range(1, 12)]


class Endless:
    def start(self):
        pass

    def __call__(self, job, note):
        if job:
            time.sleep(600)
        return job


def test_a_run_that_is_given_up_waits_for_no_worker():
    results = run_in_processes(Endless(), range(9), 2, note=Counts())
    assert next(results) == 0
    begun = time.monotonic()
    results.close()
    assert time.monotonic() - begun < 60
