"""Jobs run by the processes of one machine."""

import concurrent.futures
import itertools
import multiprocessing
import signal
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from fml_jax.errors import InputError
from fml_jax.runners.task import Counter, Note, Task
from fml_jax.worker_processes import collect_garbage_rarely, end_with_parent

DEATHS = 3  # of pools in a row that finished no job end the run
JOBS_AHEAD = 2  # jobs for each worker that are with the pool; the others stay where they come from


def run_in_processes(task: Task, jobs: Iterable[Any], workers: int, *, note: Note) -> Generator[Any, None, None]:
    """Yields the results of jobs that `workers` processes do, or this process if `workers` is 1.

    Where a worker dies, all workers are replaced, and the jobs that they had begun are done again one at a time after
    all others. `jobs` is read as it is needed, so it may be long.

    Raises:
      InputError: a worker died at a job although it was alone, pools died `DEATHS` times in a row with no job
        finished, a worker could not start, or a job raised it.
    """
    if workers == 1:
        for number, job in enumerate(jobs):
            if number == 0:  # without jobs nothing is prepared
                task.start()
            yield task(job, note)
        return
    runs = _Runs(task, note)
    yield from runs.results(iter(jobs), workers, JOBS_AHEAD)
    suspects, runs.interrupted = runs.interrupted, []
    yield from runs.results(iter(suspects), 1, 1)
    if runs.interrupted:
        raise InputError(runs.last_death)


class _Runs:
    """Runs jobs in one pool after another, as long as pools finish jobs."""

    def __init__(self, task: Task, note: Note) -> None:
        self.interrupted: list[Any] = []  # jobs that were in a pool when it died
        self.last_death = ""
        self._task, self._progress = task, _Progress(note)

    def results(self, jobs: Iterator[Any], workers: int, ahead: int) -> Iterator[Any]:
        """Each job's result, but for those that end up in `interrupted`."""
        progress, deaths = self._progress, 0
        while (first := next(jobs, None)) is not None:
            pool = _Pool(self._task, workers, ahead)
            try:
                for result, counts in pool.results(itertools.chain([first], jobs), progress):
                    progress.finished = _sum(progress.finished, counts)
                    deaths = 0
                    yield result
            except BrokenProcessPool as error:
                deaths += 1
                self.interrupted += pool.unfinished()
                self.last_death = f"a worker process {pool.cause_of_death()}; the same command goes on where it stopped"
                if deaths == DEATHS:
                    raise InputError(self.last_death) from error
                progress.show(progress.finished)
            finally:
                pool.close()


class _Progress:
    """Passes on what the workers have counted, less the items of jobs that are begun again."""

    def __init__(self, note: Note) -> None:
        self._note, self._noted, self.finished = note, [0, 0], [0, 0]

    def show(self, counts) -> None:
        """Brings what was noted to these counts of items kept and rejected."""
        for rejected in (False, True):
            self._note(rejected, counts[rejected] - self._noted[rejected])
        self._noted = list(counts)


class _Pool:
    """Processes that end together."""

    def __init__(self, task: Task, workers: int, ahead: int) -> None:
        context = multiprocessing.get_context("spawn")  # forked copies of JAX's and MediaPipe's threads would hang
        self._counts = context.Array("q", 2)  # items kept and rejected
        self._executor = concurrent.futures.ProcessPoolExecutor(workers, context, _start, (task, self._counts))
        self._running: dict[concurrent.futures.Future, Any] = {}
        self._most, self._others = workers * ahead, set(multiprocessing.active_children())
        self._processes: list[Any] = []

    def results(self, jobs: Iterator[Any], progress: _Progress) -> Iterator[tuple[Any, list[int]]]:
        """Each job's result with the numbers of its items that were kept and rejected."""
        before = progress.finished
        while True:
            for job in itertools.islice(jobs, self._most - len(self._running)):
                self._running[self._executor.submit(_do, job)] = job
            self._processes = self._processes or list(set(multiprocessing.active_children()) - self._others)
            if not self._running:
                return
            done, _ = concurrent.futures.wait(self._running, timeout=0.2, return_when="FIRST_COMPLETED")
            # Read without the lock, which a worker that was killed may hold for ever.
            progress.show(_sum(before, self._counts.get_obj()))
            for future in done:
                result = future.result()
                del self._running[future]
                yield result

    def unfinished(self) -> list[Any]:
        """The jobs that were submitted and have given no result."""
        return list(self._running.values())

    def cause_of_death(self) -> str:
        """How the first worker died; the executor then ends the others by SIGTERM."""
        self._executor.shutdown(wait=True)
        statuses = {process.exitcode for process in self._processes} - {None, 0, -signal.SIGTERM}
        if -signal.SIGKILL in statuses:
            return "was killed (out of memory?)"
        return f"died (exit status {min(statuses)})" if statuses else "died"

    def close(self) -> None:
        """Ends all processes; jobs that are running are given up."""
        if self._running:
            for process in self._processes:
                process.terminate()
        self._executor.shutdown(wait=True, cancel_futures=True)


def _sum(a, b) -> list[int]:
    return [a[0] + b[0], a[1] + b[1]]


class _Process:
    """What a process of the pool does its jobs with."""

    task: Task
    counts: Any = None
    failure: InputError | None = None  # of its start


def _start(task, counts):
    end_with_parent()
    collect_garbage_rarely()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # after Ctrl-C the parent ends its workers
    _Process.task, _Process.counts = task, counts
    try:
        task.start()
        collect_garbage_rarely()
    except InputError as error:  # an exception here would break the pool and lose its reason
        _Process.failure = error


def _do(job):
    if _Process.failure is not None:
        raise _Process.failure
    note = Counter(_count)
    return _Process.task(job, note), note.counts


def _count(rejected, items=1):
    with _Process.counts.get_lock():
        _Process.counts[rejected] += items
