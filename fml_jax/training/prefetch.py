"""Batches made ahead of time, by a thread or by worker processes, and put onto the devices before their step begins."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import cv2
import grain
import jax
from absl import flags

from fml_jax.errors import InputError
from fml_jax.worker_processes import end_with_parent

_AHEAD = 3  # batches that the thread has asked for
# Batches in the queue of each worker. Grain keeps about as many again on either side of it: some three in shared memory.
_QUEUED = 1
_MOST_WORKERS = 15  # that the default starts; more were not tried


def default_workers() -> int:
    """How many worker processes make batches: none where the step keeps all cores busy, else one a spare core."""
    if jax.default_backend() == "cpu":
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores - 1, _MOST_WORKERS)


@contextmanager
def batches_ahead(
    make_batch: Callable[[int], dict], place: Callable[[dict], dict], start: int, stop: int, workers: int = 0
) -> Iterator[Iterator[dict]]:
    """A context with an iterator over `place(make_batch(step))` for start ≤ step < stop, in order.

    The batches are the same with any number of workers.

    Args:
      make_batch: a pure function of the step; must be picklable if there are workers.
      place: puts a batch onto the devices; runs in a thread of this process, while the step before is computed.
      workers: processes that call `make_batch`; with 0 the thread of `place` calls it. They import the main module
        anew, so a program that starts them does so under `if __name__ == "__main__"`.

    Raises:
      InputError: at its step, what `make_batch` raises; or a worker died.
    """
    workers = min(workers, stop - start)
    batches = _made_by_workers(make_batch, start, stop, workers) if workers else map(make_batch, range(start, stop))
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as pool:
        left = False

        def following():
            # The thread is asked for a few batches more than there are, and for some that nobody waits for any more.
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
    # Grain insists that this flag of its own is parsed; a program without absl's flags parses none.
    flags.FLAGS["grain_enable_multiprocess_worker_profiling"].present = True
    made = grain.MapDataset.range(start, stop).map(make_batch)
    one_at_a_time = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
    several = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=_QUEUED)
    return iter(made.to_iter_dataset(one_at_a_time).mp_prefetch(several, worker_init_fn=_begin))


def _begin(index: int, count: int) -> None:
    """A worker's start. Ctrl-C and SIGTERM often go to all processes of a run: the first one saves, then ends the others."""
    end_with_parent()
    cv2.setNumThreads(1)  # there is a worker a core already
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)


def _result(future):
    try:
        return future.result()
    except RuntimeError as error:
        if "terminated unexpectedly" not in str(error):  # Grain's words for a worker that died
            raise
        remedy = (
            "it takes some three batches of shared memory (/dev/shm) a worker; give it more, or --data_workers fewer"
        )
        raise InputError(f"a worker process that makes batches died ({error}); {remedy}") from error
