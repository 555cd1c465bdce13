"""Batches made in advance, by a thread or by worker processes, and placed on the devices before their step begins."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import cv2
import grain
import jax
from absl import flags

from fml_jax.errors import InputError
from fml_jax.worker_processes import available_cores, end_with_parent

_AHEAD = 3  # batches that the thread makes in advance
# Batches in the queue of each worker. Grain holds about as many before and after it: about three in shared memory.
_QUEUED = 1
_MOST_WORKERS = 15  # of the default; more were not tried


def default_workers() -> int:
    """The number of worker processes: 0 on CPUs, where the step uses all cores, else one for each spare core."""
    if jax.default_backend() == "cpu":
        return 0
    return min(available_cores() - 1, _MOST_WORKERS)


@contextmanager
def batches_ahead(
    make_batch: Callable[[int], dict], place: Callable[[dict], dict], *, start: int, stop: int, workers: int = 0
) -> Iterator[Iterator[dict]]:
    """A context with an iterator over `place(make_batch(step))` for start ≤ step < stop, in order.

    The batches do not depend on the number of workers.

    Args:
      make_batch: a pure function of the step; must be picklable if there are workers.
      place: puts a batch onto the devices; called in a thread of this process, during the previous step.
      workers: processes that call `make_batch`; with 0 the thread of `place` calls it. They import the main module
        again, so a program that starts them needs `if __name__ == "__main__"`.

    Raises:
      InputError: at its step, if `make_batch` raises it; a worker process died.
    """
    workers = min(workers, stop - start)
    batches: Any  # Grain's iterator has a method `close`
    batches = _made_by_workers(make_batch, start, stop, workers) if workers else map(make_batch, range(start, stop))
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as pool:
        left = False

        def following():
            # Some calls come after the last batch, or after the context was left.
            if not left and (batch := next(batches, None)) is not None:
                return place(batch)

        def in_order():
            waiting = [pool.submit(following) for _ in range(_AHEAD)]
            for _ in range(start, stop):
                batch = _result(waiting.pop(0))
                waiting.append(pool.submit(following))
                yield batch

        try:
            yield in_order()
        finally:
            left = True
            try:
                pool.shutdown(cancel_futures=True)
            finally:
                if workers:
                    batches.close()


def _made_by_workers(make_batch, start, stop, workers):
    # Grain requires that this flag of its own is parsed, which a program without absl's flags does not do.
    flags.FLAGS["grain_enable_multiprocess_worker_profiling"].present = True
    made = grain.MapDataset.range(start, stop).map(make_batch)
    one_at_a_time = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
    several = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=_QUEUED)
    return iter(made.to_iter_dataset(one_at_a_time).mp_prefetch(several, worker_init_fn=_begin))


def _begin(index: int, count: int) -> None:
    """Initialises a worker process.

    Ctrl-C and SIGTERM often reach all processes of a run: workers ignore them, and end with the main process, which
    saves first.
    """
    end_with_parent()
    cv2.setNumThreads(1)  # there is one worker for each core
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)


def _result(future):
    try:
        return future.result()
    except RuntimeError as error:
        if "terminated unexpectedly" not in str(error):  # Grain's message for a worker that died
            raise
        remedy = (
            "each worker needs shared memory (/dev/shm) for about three batches; enlarge it, or lower --data_workers"
        )
        raise InputError(f"a worker process that makes batches died ({error}); {remedy}") from error
