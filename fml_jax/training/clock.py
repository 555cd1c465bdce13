"""The speed of training steps."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Clock:
    """Images per second, and the share of the time in which the step waited for its batch."""

    def __init__(self, rows: int) -> None:
        """`rows` are the images of one step."""
        self._rows = rows
        self._restart()

    def _restart(self) -> None:
        self._begin, self._steps, self._waited = time.perf_counter(), 0, 0.0

    def waiting_for(self, make: Callable[[], T]) -> T:
        """The result of a call, whose time counts as waiting."""
        begin = time.perf_counter()
        made = make()
        self._waited += time.perf_counter() - begin
        return made

    def step(self) -> None:
        """Counts a step."""
        self._steps += 1

    def read(self) -> tuple[float, float]:
        """Images per second, and the share of waiting in [0, 1], since the last reading."""
        elapsed = max(time.perf_counter() - self._begin, 1e-9)
        reading = self._rows * self._steps / elapsed, self._waited / elapsed
        self._restart()
        return reading
