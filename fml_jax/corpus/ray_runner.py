"""Shards made on a Ray cluster: the same function, the same bytes, more machines.

Each shard is a task; one whose worker dies is begun again elsewhere. Photos and output lie where all
machines of the cluster see them under the same path.
"""

from collections.abc import Callable, Sequence

from fml_jax.corpus.examples import Example, Rejected
from fml_jax.corpus.shards import Item, Job, Note, build_shard, start
from fml_jax.errors import InputError

RETRIES = 5  # of a shard whose worker died


def run_on_ray(make: Callable[[Item], Example | Rejected], jobs: Sequence[Job], workers: int, note: Note) -> None:
    """A runner for `shards.build_shards`: on the cluster that Ray is told of (RAY_ADDRESS), else on this machine.

    Args:
      workers: tasks at a time; on a cluster its cores limit them too.

    Raises:
      InputError: Ray is not installed, a worker died again and again, or one could not write.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("--runner=ray needs Ray; run: pip install 'fml_jax[ray]'") from error
    begun_here = not ray.is_initialized()
    if begun_here:
        ray.init(log_to_driver=False, include_dashboard=False)
    try:
        _run(ray, make, list(jobs), workers, note)
    finally:
        if begun_here:
            ray.shutdown()


def _run(ray, make, jobs, workers, note):
    task = ray.remote(max_retries=RETRIES)(_build)
    made = ray.put(make)
    running = [task.remote(made, job) for job in jobs[:workers]]
    jobs = jobs[workers:]
    while running:
        done, running = ray.wait(running)
        for kept, rejected in _results(ray, done):
            note(False, kept)
            note(True, rejected)
        running += [task.remote(made, job) for job in jobs[: len(done)]]
        jobs = jobs[len(done) :]


def _results(ray, done):
    try:
        return ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, InputError) else error
    except ray.exceptions.WorkerCrashedError as error:
        raise InputError(
            "a worker of the Ray cluster died again and again (out of memory?); the same command goes on"
        ) from error


def _build(make, job: Job) -> tuple[int, int]:
    """Makes a shard in a worker; returns how many items were kept and rejected."""
    start(make)
    counts = [0, 0]

    def count(rejected):
        counts[rejected] += 1

    build_shard(make, job, count)
    return counts[0], counts[1]
