"""Batches made ahead of time, by a thread or by processes, and put onto the devices before their step begins."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grain
import jax
from absl import flags

# A process makes some 600 crops a second; no GPU has been seen to ask for more than so many of them make.
MOST_PROCESSES = 15


def default_processes() -> int:
    """How many processes make batches: none where the step itself keeps all cores busy, else one a spare core."""
    return 0 if jax.default_backend() == "cpu" else min((os.cpu_count() or 1) - 1, MOST_PROCESSES)


@contextmanager
def batches_ahead(
    make_batch: Callable[[int], dict], place: Callable[[dict], dict], start: int, stop: int, processes: int = 0
) -> Iterator[Iterator[dict]]:
    """A context with an iterator over `place(make_batch(step))` for start ≤ step < stop, in order.

    Args:
      make_batch: can be pickled where there are processes.
      place: puts a batch where the step reads it, in a thread of this process.
      processes: that make batches, which they hand over through shared memory; 0 is the thread of `place`. The
        batches are the same with any number. Processes need a main module that is safe to import.
    """
    steps = _made_by_processes(make_batch, start, stop, processes) if processes else map(make_batch, range(start, stop))
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as pool:
        stopped = False

        def following():
            if not stopped and (batch := next(steps, None)) is not None:
                return place(batch)

        def in_order():
            waiting = [pool.submit(following) for _ in range(_AHEAD)]
            for _ in range(start, stop):
                batch = waiting.pop(0).result()
                waiting.append(pool.submit(following))
                yield batch

        try:
            yield in_order()
        finally:
            stopped = True
            pool.shutdown(cancel_futures=True)
            if processes:
                steps.close()


_AHEAD = 3  # batches in the making by the thread
_AHEAD_EACH = 2  # by each process


def _made_by_processes(make_batch, start, stop, processes):
    if not flags.FLAGS.is_parsed():  # Grain reads a flag of its own, also in programs that have no flags
        flags.FLAGS.mark_as_parsed()
    made = grain.MapDataset.range(start, stop).map(make_batch)
    one_at_a_time = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
    several = grain.MultiprocessingOptions(num_workers=processes, per_worker_buffer_size=_AHEAD_EACH)
    return iter(made.to_iter_dataset(one_at_a_time).mp_prefetch(several))
