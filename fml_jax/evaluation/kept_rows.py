"""Rows of a table that stay on disk, so that a measurement that was stopped goes on where it ended.

Each photo or scan gives one row, which is written as one line of JSON as soon as it is measured. A line without its end
was being written when the program was stopped, and is measured anew. Rows that were measured with other settings
(weights, face model, program, refinement, …) are kept in other files.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from fml_jax.files import cannot_be_written, complete_or_absent, output_folder
from fml_jax.runners import Note, run_in_processes
from fml_jax.worker_processes import available_cores

FOLDER = "rows"
ITEMS_A_PROCESS = 20  # to be measured at least, before another process is worth its start

Row = dict[str, Any]  # names of columns → numbers, texts, or lists of numbers
Item = TypeVar("Item")


class KeptRows:
    """The rows of one table with one set of settings."""

    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any]) -> None:
        """Reads the rows that are there.

        Args:
          folder: of the tables; the rows are in its subfolder `FOLDER`.
          name: of the table.
          settings: what the rows depend on.

        Raises:
          InputError: the folder cannot be written.
        """
        text = json.dumps(dict(settings), sort_keys=True, default=_plain)
        digest = hashlib.sha1(text.encode()).hexdigest()[:8]
        self.path = output_folder(folder / FOLDER) / f"{name}-{digest}.jsonl"
        self._rows: dict[str, Row | None] = {}
        if self.path.is_file():
            self._read()
        else:
            self._append({"settings": json.loads(text)})

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def measured(
        self,
        items: Sequence[Item],
        measure: Callable[[Item], Row | None],
        *,
        key: Callable[[Item], str] = str,
        unit: str = "photo",
        workers: int | None = 1,
    ) -> list[Row]:
        """The rows of all items in their order; only those that are not kept yet are measured. Shows a bar.

        Args:
          measure: gives None where an item has nothing to measure, which is kept, too.
          key: the name of an item, different for each.
          unit: what an item is, for the bar.
          workers: processes that measure, for which `measure` and items are pickled; None: one for each core, as far
            as there is enough to measure.

        Raises:
          InputError: the file cannot be written, or a process died.
        """
        missing = {name: item for item in items if (name := key(item)) not in self._rows}
        count = _worth_their_start(len(missing)) if workers is None else workers
        with tqdm(total=len(items), initial=len(items) - len(missing), unit=unit) as bar:
            for name, row in run_in_processes(_Measuring(measure), missing.items(), count, note=_counts_nothing):
                self._add(name, row)
                bar.update()
        found = (self._rows[key(item)] for item in items)
        return [row for row in found if row is not None]

    def _add(self, key, row):
        line = {"key": key, "row": row}
        self._append(line)
        self._rows[key] = json.loads(json.dumps(line, default=_plain))["row"]

    def _append(self, line):
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, default=_plain) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_be_written(self.path, error) from None

    def _read(self):
        text = self.path.read_text("utf-8", errors="replace")
        whole = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        if "".join(whole) != text:
            with complete_or_absent(self.path) as partial:
                partial.write_text("".join(whole), "utf-8")
        for line in map(json.loads, whole):
            if "key" in line:
                self._rows[line["key"]] = line["row"]


class _Measuring:
    """Measures named items: the task of a process."""

    def __init__(self, measure: Callable[[Any], Row | None]) -> None:
        self._measure = measure

    def start(self) -> None:
        """Nothing: what `measure` needs is loaded with the first item."""

    def __call__(self, job: tuple[str, Any], note: Note) -> tuple[str, Row | None]:
        return job[0], self._measure(job[1])


def _counts_nothing(rejected: bool, items: int = 1) -> None:
    pass


def _worth_their_start(items: int) -> int:
    """Processes for so many items: a process loads and compiles its network for some seconds."""
    return max(1, min(available_cores(), items // ITEMS_A_PROCESS))


def _plain(value):
    """NumPy's numbers and arrays, and paths, as JSON can hold them."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)
