"""Batches made in advance: equal and in the same order with any number of workers, and only a few at a time."""

import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.training.prefetch import batches_ahead


def squares(step):
    return {"step": np.array([step, step**2])}


def broken_at_three(step):
    if step == 3:
        raise InputError("shard.arrayrecord: unreadable shard")
    return squares(step)


def killed_at_three(step):
    if step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return squares(step)


def placed(batch):
    return {**batch, "placed_by": threading.current_thread().name}


@pytest.mark.parametrize("workers", [0, 2])
def test_every_step_in_order_and_placed_beside_the_step(workers):
    with batches_ahead(squares, placed, start=5, stop=12, workers=workers) as batches:
        found = list(batches)
    assert [int(batch["step"][0]) for batch in found] == list(range(5, 12))
    assert [int(batch["step"][1]) for batch in found] == [step**2 for step in range(5, 12)]
    assert all(batch["placed_by"].startswith("batches") for batch in found)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_that_cannot_be_made_says_so_at_its_step(workers):
    with batches_ahead(broken_at_three, placed, start=0, stop=9, workers=workers) as batches:
        assert [int(next(batches)["step"][0]) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(InputError, match="unreadable shard"):
            next(batches)


def test_a_worker_that_dies_is_told_with_a_remedy():
    with batches_ahead(killed_at_three, placed, start=0, stop=9, workers=2) as batches:
        with pytest.raises(InputError, match="died.*--data_workers"):
            list(batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_leaving_early_does_not_wait_for_the_rest(workers):
    begin = time.perf_counter()
    with batches_ahead(squares, placed, start=0, stop=10**9, workers=workers) as batches:
        assert int(next(batches)["step"][0]) == 0
    assert time.perf_counter() - begin < 60
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]
    assert not multiprocessing.active_children()


def test_few_batches_are_made_before_they_are_asked_for():
    made = []
    with batches_ahead(lambda step: made.append(step) or squares(step), placed, start=0, stop=100) as batches:
        next(batches)
        time.sleep(0.2)
        assert len(made) <= 5
