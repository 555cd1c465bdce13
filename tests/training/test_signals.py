"""SIGTERM is recorded while a run is in its steps, and only there."""

import os
import signal
import threading

import pytest

from fml_jax.training.signals import StopSignal


@pytest.fixture
def received():
    """A handler of the program's own, which lists the signals that reach it."""
    found = []
    before = signal.signal(signal.SIGTERM, lambda number, _: found.append(number))
    yield found
    signal.signal(signal.SIGTERM, before)


def test_a_signal_is_recorded_instead_of_reaching_the_program(received):
    with StopSignal() as stop:
        assert not stop.agreed(1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.agreed(1) and stop.agreed(2)
    assert not received


@pytest.mark.parametrize("error", [None, ValueError])
def test_afterwards_signals_reach_the_program_again_also_after_an_error(received, error):
    try:
        with StopSignal():
            if error:
                raise error
    except ValueError:
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    assert received == [signal.SIGTERM]


def test_in_another_thread_signals_still_reach_the_program(received):
    """Python lets the main thread alone handle signals; a notebook may train in another one."""
    agreed = []

    def train():
        with StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            agreed.append(stop.agreed(1))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert agreed == [False] and received == [signal.SIGTERM]
