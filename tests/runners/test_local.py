"""Processes of one machine: every job is done, also where workers are killed, and Ctrl-C waits for none of them."""

import os
import signal
import time

import pytest

from fml_jax.errors import InputError
from fml_jax.runners import run_in_processes


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
