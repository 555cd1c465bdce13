"""Jobs run on a Ray cluster: the same function and the same bytes on more machines.

Each job is a Ray task; Ray begins one whose worker dies again elsewhere. All machines of the cluster see the input
and the output under the same paths.
"""

import itertools
from collections.abc import Generator, Iterable
from typing import Any

from fml_jax.errors import InputError
from fml_jax.runners.task import Counter, Note, Task

RETRIES = 5  # of a job whose worker died


def run_on_ray(task: Task, jobs: Iterable[Any], workers: int, *, note: Note) -> Generator[Any, None, None]:
    """A runner on the cluster that RAY_ADDRESS names, or else on this machine.

    Args:
      workers: jobs at a time; the cluster's cores limit them too.

    Raises:
      InputError: Ray is not installed, a worker died `RETRIES` times at one job, or a job raised it.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("--runner=ray needs Ray; run: pip install 'fml_jax[ray]'") from error
    begun_here = not ray.is_initialized()
    if begun_here:
        ray.init(log_to_driver=False, include_dashboard=False)
    try:
        yield from _results(ray, task, iter(jobs), workers, note)
    finally:
        if begun_here:
            ray.shutdown()


def _results(ray, task, jobs, workers, note):
    remote = ray.remote(max_retries=RETRIES)(_do)
    shared = ray.put(task)
    running = [remote.remote(shared, job) for job in itertools.islice(jobs, workers)]
    while running:
        done, running = ray.wait(running)
        running += [remote.remote(shared, job) for job in itertools.islice(jobs, len(done))]
        for result, (kept, rejected) in _fetched(ray, done):
            note(False, kept)
            note(True, rejected)
            yield result


def _fetched(ray, done):
    try:
        return ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        raise
    except ray.exceptions.WorkerCrashedError as error:
        raise InputError(
            "a worker of the Ray cluster died again and again (out of memory?); the same command goes on"
        ) from error


def _do(task: Task, job: Any) -> tuple[Any, list[int]]:
    """Does a job in a worker; returns its result and how many items were kept and rejected."""
    task.start()
    note = Counter()
    return task(job, note), note.counts
