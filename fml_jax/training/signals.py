"""Stopping a run by SIGTERM, in one or several processes."""

import signal
from types import TracebackType
from typing import Any

import jax
from jax.experimental.multihost_utils import reached_preemption_sync_point


class StopSignal:
    """A context in which SIGTERM is recorded instead of ending the process.

    Signals can be handled in the main thread only; in other threads, and of several processes, where JAX itself
    handles the signal and informs all of them, the context changes nothing.
    """

    def __init__(self) -> None:
        self._received = False
        self._previous: Any = None
        self._installed = False

    def __enter__(self) -> "StopSignal":
        if jax.process_count() == 1:
            try:
                self._previous = signal.signal(signal.SIGTERM, self._record)
                self._installed = True
            except ValueError:  # not the main thread
                pass
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGTERM, self._previous)

    def _record(self, *_: object) -> None:
        self._received = True

    def agreed(self, step: int) -> bool:
        """Whether to stop after this step. Several processes agree on one step, whichever received the signal."""
        return self._received if jax.process_count() == 1 else reached_preemption_sync_point(step)
