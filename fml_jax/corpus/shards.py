"""Many items made into shards of records by many processes, such that a killed build can be continued.

Items are divided, in order, into shards of equal numbers; one shard is one job. A shard's content depends on its items
alone, so the files are identical for any number of workers. Each shard has a report with one line of JSON an item,
which is written last: a shard with a report is finished, and a build that was killed continues with the others.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import cv2
from tqdm import tqdm

from fml_jax.corpus.examples import Rejected
from fml_jax.corpus.quality import fingerprint
from fml_jax.corpus.records import Example, encode, write_shard
from fml_jax.files import PARTIAL_SUFFIX, complete_or_absent, output_folder
from fml_jax.runners import Note, Runner, run_in_processes

PER_SHARD = 256


@runtime_checkable
class Item(Protocol):
    """The input of one example, such as a photo."""

    @property
    def name(self) -> str:
        """The item's name, unique in its corpus."""

    @property
    def source(self) -> str:
        """The name of the collection."""


AnyItem = TypeVar("AnyItem", bound=Item)


class Job(NamedTuple):
    """A shard to be made."""

    folder: Path
    name: str  # of the files, without suffixes
    items: Sequence[Item]


@dataclass(frozen=True)
class Shard:
    """A finished shard."""

    file: str  # name in the folder
    sha256: str  # of the file
    entries: list[dict[str, Any]]  # one an item, in order: see `_entry`; rejected items have a "reason" and a "detail"


def build_shards(
    folder: Path,
    items: Sequence[AnyItem],
    make: Callable[[AnyItem], Example | Rejected],
    *,
    workers: int,
    per_shard: int = PER_SHARD,
    runner: Runner = run_in_processes,
) -> list[Shard]:
    """Makes the shards that are not finished yet.

    Args:
      folder: of the shards; made if missing. It must hold no shards of other items.
      items: all items of the corpus.
      make: makes an item's example. It must be a function of the item alone, and picklable if there are several
        workers. A method `start()`, if it has one, is called once in each process.
      workers: number of processes; 1 does all work in this process.
      per_shard: number of items that one shard is made from.
      runner: runs the jobs; see `fml_jax.runners`.

    Returns:
      All shards, in the order of the items.

    Raises:
      InputError: the disk is full, or a worker died.
    """
    output_folder(folder)
    _remove_left_overs(folder)
    total = -(-len(items) // per_shard)
    names = [f"{index:05d}-of-{total:05d}" for index in range(total)]
    jobs = [Job(folder, name, items[k * per_shard : (k + 1) * per_shard]) for k, name in enumerate(names)]
    missing = [job for job in jobs if not is_finished(folder, job.name)]
    already = len(items) - sum(len(job.items) for job in missing)
    with tqdm(total=len(items), initial=already, unit="photo", dynamic_ncols=True) as bar:
        for _ in runner(ShardTask(make), missing, workers, note=_Progress(bar)):
            pass
    _remove_left_overs(folder)  # of workers that were killed
    return [_read_report(folder, name) for name in names]


class _Progress:
    """Shows on a progress bar the items per second, the number of rejected items, and the remaining time."""

    def __init__(self, bar) -> None:
        self._bar, self._rejected = bar, 0

    def __call__(self, rejected: bool, items: int = 1) -> None:
        self._rejected += rejected * items
        self._bar.set_postfix(rejected=self._rejected, refresh=False)
        self._bar.update(items)


def is_finished(folder: Path, name: str) -> bool:
    """Whether a shard of this name is complete."""
    return (folder / f"{name}.arrayrecord").is_file() and (folder / f"{name}.jsonl").is_file()


class ShardTask:
    """The task of a build: each of its jobs makes one shard."""

    def __init__(self, make: Callable[[Any], Example | Rejected]) -> None:
        self._make = make

    def start(self) -> None:
        """Prepares a process, and `make` in it."""
        cv2.setNumThreads(1)  # there is one process for each core
        getattr(self._make, "start", lambda: None)()

    def __call__(self, job: Job, note: Note) -> None:
        build_shard(self._make, job, note)


def build_shard(make: Callable[[Any], Example | Rejected], job: Job, note: Note) -> None:
    """Makes and writes one shard and its report.

    Args:
      make: see `build_shards`.
      note: called after each item with whether it was rejected.
    """
    folder, name, items = job
    entries: list[dict[str, Any]] = []
    path = folder / f"{name}.arrayrecord"
    write_shard(path, _records(make, items, entries, note))
    head = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    with complete_or_absent(folder / f"{name}.jsonl") as partial:
        partial.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in [head, *entries]), "utf-8")


def _records(make, items, entries, note) -> Iterator[bytes]:
    """The records of the items that make examples; `entries` gets a line for every item."""
    for item in items:
        made = make(item)
        if isinstance(made, Rejected):
            entries.append({"name": item.name, "source": item.source, **made._asdict()})
        else:
            entries.append(_entry(made))
            yield encode(made)
        note(isinstance(made, Rejected))


def _entry(example: Example) -> dict[str, Any]:
    """The row of an example in the corpus's index."""
    return {
        "name": example.name,
        "source": example.source,
        "person": example.person,
        "from_detector": example.from_detector,
        "has_code": example.code is not None,
        "has_reference": example.reference68 is not None,
        "confidence": round(float(example.confidence.mean()), 4),
        **{name: round(float(value), 3) for name, value in example.stats._asdict().items()},
        "fingerprint": [int(part) for part in fingerprint(example.window, example.landmarks68)],
    }


def _remove_left_overs(folder: Path) -> None:
    for path in folder.glob(f"*{PARTIAL_SUFFIX}"):
        path.unlink(missing_ok=True)


def _read_report(folder: Path, name: str) -> Shard:
    # Only line feeds end a line of the report: names may hold other separators, such as U+2028.
    head, *entries = map(json.loads, (folder / f"{name}.jsonl").read_text("utf-8").rstrip("\n").split("\n"))
    return Shard(f"{name}.arrayrecord", head["sha256"], entries)
