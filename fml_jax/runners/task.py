"""The interfaces of tasks and runners."""

from collections.abc import Callable, Generator, Iterable
from typing import Any, Protocol, runtime_checkable

# Counts items: note(rejected, items=1).
Note = Callable[..., None]


@runtime_checkable
class Task(Protocol):
    """Work that is cut into jobs. It is pickled once for each process."""

    def start(self) -> None:
        """Prepares a process; called once before its first job."""

    def __call__(self, job: Any, note: Note) -> Any:
        """Does one job and returns its result.

        A job may run again after a worker died, so it must write the same files each time. `note` counts its
        items as they are done.
        """


@runtime_checkable
class Runner(Protocol):
    """Runs a task's jobs, several at a time."""

    def __call__(self, task: Task, jobs: Iterable[Any], workers: int, *, note: Note) -> Generator[Any, None, None]:
        """Yields the jobs' results in the order in which they finish; closing the generator ends the run."""
        ...


class Counter:
    """A `Note` that remembers how many items a job kept and rejected."""

    def __init__(self, note: Note = lambda rejected, items=1: None) -> None:
        self.counts, self._note = [0, 0], note

    def __call__(self, rejected: bool, items: int = 1) -> None:
        self.counts[rejected] += items
        self._note(rejected, items)
