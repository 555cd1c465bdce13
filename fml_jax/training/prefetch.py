"""Batches made ahead of time, so that the step does not wait for them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor


def prefetched(make_batch: Callable[[int], dict], start: int, stop: int, ahead: int = 3) -> Iterator[dict]:
    """`make_batch(step)` for start ≤ step < stop, in order, `ahead` of them in the making."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as pool:
        waiting = [pool.submit(make_batch, step) for step in range(start, min(start + ahead, stop))]
        try:
            for step in range(start, stop):
                batch = waiting.pop(0).result()
                if step + ahead < stop:
                    waiting.append(pool.submit(make_batch, step + ahead))
                yield batch
        finally:
            for future in waiting:
                future.cancel()
