"""Many items made into shards of records by many processes, so that the work survives being killed.

Items are cut into shards of equal numbers, in order; a shard is one job. What it holds depends on its
items alone, so the files are the same byte for byte whatever the number of workers. Each shard comes
with a report, a line of JSON an item, which appears last: a shard with a report is finished, and a
build that was killed goes on with the others.
"""

import concurrent.futures
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
from tqdm import tqdm

from fml_jax.data.examples import Rejected
from fml_jax.data.quality import fingerprint
from fml_jax.data.records import PARTIAL_SUFFIX, Example, complete_or_absent, encode, write_shard
from fml_jax.errors import InputError

PER_SHARD = 256


class Item(Protocol):
    """What an example is made from."""

    name: str  # unique in its corpus
    source: str


@dataclass(frozen=True)
class Shard:
    """A finished shard."""

    file: str  # its name in the folder
    sha256: str
    entries: list[dict]  # an item each, in order: of an example what `_entry` says, else its "reason" and "detail"


def build_shards(
    folder: Path,
    items: Sequence[Item],
    make: Callable[[Item], Example | Rejected],
    workers: int,
    per_shard: int = PER_SHARD,
) -> list[Shard]:
    """Makes all items that no finished shard in the folder holds already.

    Args:
      folder: where the shards are; made if missing. It must hold no shards of other items.
      make: pure, and picklable when there are several workers; a method `start()`, if it has one, is
        called once in each process.
      workers: processes; with one, all happens in this one.

    Raises:
      InputError: the disk is full, or a worker died.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob(f"*{PARTIAL_SUFFIX}"):
        left_over.unlink(missing_ok=True)
    total = -(-len(items) // per_shard)
    names = [f"{index:05d}-of-{total:05d}" for index in range(total)]
    jobs = [(folder, name, items[k * per_shard : (k + 1) * per_shard]) for k, name in enumerate(names)]
    missing = [job for job in jobs if not is_finished(*job[:2])]
    already = len(items) - sum(len(job[2]) for job in missing)
    with tqdm(total=len(items), initial=already, unit="photo", dynamic_ncols=True) as bar:
        (_here if workers == 1 else _in_processes)(make, missing, workers, bar)
    return [_read_report(folder, name) for name in names]


def is_finished(folder: Path, name: str) -> bool:
    """Whether a shard of this name is complete."""
    return (folder / f"{name}.arrayrecord").is_file() and (folder / f"{name}.jsonl").is_file()


class _Worker:
    """What a process makes examples with."""

    make: Callable[[Item], Example | Rejected]
    done = rejected = None  # counters that processes share


def _here(make, jobs, workers, bar):
    context = multiprocessing.get_context("spawn")
    counters = context.Value("q"), context.Value("q")
    _start(make, *counters)
    for job in jobs:
        _build_shard(job, lambda: _show(bar, *counters))


def _in_processes(make, jobs, workers, bar):
    context = multiprocessing.get_context("spawn")  # forked copies of JAX's and MediaPipe's threads would hang
    counters = context.Value("q"), context.Value("q")
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_process, initargs=(make, *counters)
    )
    with pool:
        waiting = {pool.submit(_build_shard, job) for job in jobs}
        try:
            while waiting:
                done, waiting = concurrent.futures.wait(waiting, timeout=0.2, return_when="FIRST_EXCEPTION")
                _show(bar, *counters)
                for future in done:
                    future.result()
        except concurrent.futures.process.BrokenProcessPool as error:
            raise InputError("a worker process died (out of memory?); the same command goes on where it stopped") from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _show(bar, done, rejected):
    bar.set_postfix(rejected=rejected.value, refresh=False)
    bar.update(done.value - getattr(bar, "shown", 0))
    bar.shown = done.value


def _start_process(make, done, rejected):
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _start(make, done, rejected)


def _die_with_parent():
    """A process whose parent was killed would wait for work for ever."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _start(make, done, rejected):
    cv2.setNumThreads(1)  # there is a process a core already
    _Worker.make, _Worker.done, _Worker.rejected = staticmethod(make), done, rejected
    getattr(make, "start", lambda: None)()


def _build_shard(job: tuple[Path, str, Sequence[Item]], after_each: Callable[[], None] = lambda: None) -> None:
    folder, name, items = job
    entries: list[dict] = []
    path = folder / f"{name}.arrayrecord"
    write_shard(path, _records(items, entries, after_each))
    head = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    with complete_or_absent(folder / f"{name}.jsonl") as partial:
        partial.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in [head, *entries]), "utf-8")


def _records(items, entries, after_each) -> Iterator[bytes]:
    """The records of the items that make examples; `entries` gets a line for every item."""
    for item in items:
        made = _Worker.make(item)
        if isinstance(made, Rejected):
            entries.append({"name": item.name, "source": item.source, **made._asdict()})
        else:
            entries.append(_entry(made))
            yield encode(made)
        with _Worker.done.get_lock():
            _Worker.done.value += 1
            _Worker.rejected.value += isinstance(made, Rejected)
        after_each()


def _entry(example: Example) -> dict:
    """What the corpus's index knows of an example."""
    return {
        "name": example.name,
        "source": example.source,
        "person": example.person,
        "from_detector": example.from_detector,
        "has_code": example.code is not None,
        "confidence": round(float(example.confidence.mean()), 4),
        **{name: round(float(value), 3) for name, value in example.stats._asdict().items()},
        "fingerprint": [int(part) for part in fingerprint(example.window, example.landmarks68)],
    }


def _read_report(folder: Path, name: str) -> Shard:
    head, *entries = map(json.loads, (folder / f"{name}.jsonl").read_text("utf-8").splitlines())
    return Shard(f"{name}.arrayrecord", head["sha256"], entries)
