"""Timing of several calls in turn, so that what else a machine does falls on all of them alike."""

import statistics
import time
from collections.abc import Callable

import jax
from tqdm import trange


def in_turn(calls: dict[str, Callable], repeats: int) -> dict[str, float]:
    """Median seconds of each call, by its name, over rounds in which each runs once; a first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in trange(repeats + 1, desc=", ".join(calls)[:40], unit="round", leave=False):
        for name, call in calls.items():
            begin = time.perf_counter()
            jax.block_until_ready(call())
            seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(each[1:]) for name, each in seconds.items()}
