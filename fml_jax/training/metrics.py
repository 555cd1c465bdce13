"""The metrics of a run: JSON lines, readable during the run and after it was killed, and TensorBoard's files."""

import itertools
import json
from pathlib import Path

from absl import logging
from tensorboardX import SummaryWriter

from fml_jax.files import complete_or_absent

FILE = "metrics.jsonl"
CONFIG = "config.json"  # beside it: the config with which the run was last started
TENSORBOARD = "tensorboard"
VALIDATION = "validation"  # marks rows of values on held-out faces, and begins their names in TensorBoard
_FLUSH_SECONDS = 10  # between TensorBoard's writes


class MetricsWriter:
    """Appends to `WORKDIR/metrics.jsonl`, each line flushed when written, and to `WORKDIR/tensorboard/`.

    A run that was killed may have written rows of steps after its last checkpoint. A resumed run does these steps
    again, so their rows are removed from the JSON lines, and TensorBoard hides them. Without a checkpoint it is
    unknown whether the run is the same: its rows are kept in `metrics.1.jsonl` (or `.2`, …).
    """

    def __init__(self, workdir: Path | None, *, tensorboard: bool = True, done: int = 0) -> None:
        """
        Args:
          workdir: None for a writer that writes nothing.
          done: the steps of the checkpoint from which the run continues.
        """
        self._file = self._events = None
        if workdir is None:
            return
        if done:
            _remove_rows_after(workdir / FILE, done)
        else:
            _set_aside(workdir / FILE)
        self._file = open(workdir / FILE, "a", encoding="utf-8")
        if tensorboard:
            purge = done + 1 if done else None
            folder, suffix = str(workdir / TENSORBOARD), f".after_{done}"
            self._events = SummaryWriter(folder, purge_step=purge, flush_secs=_FLUSH_SECONDS, filename_suffix=suffix)

    def write(self, step: int, values: dict) -> None:
        """One row; rows of values on held-out faces also have the name "validation"."""
        values = {name: float(value) for name, value in values.items()}
        if self._file is not None:
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
        if self._events is not None:
            prefix = f"{VALIDATION}/" if VALIDATION in values else ""
            for name in values.keys() - {VALIDATION, "seconds"}:
                self._events.add_scalar(prefix + name, values[name], step, walltime=values.get("seconds"))

    def close(self) -> None:
        """Closes both files; the writer cannot be used any more."""
        for each in (self._file, self._events):
            if each is not None:
                each.close()


def _remove_rows_after(path: Path, done: int) -> None:
    """Removes rows of later steps, and lines that were cut off by a kill, from a file that may not exist."""
    if not path.is_file():
        return
    text = path.read_text("utf-8", errors="replace")
    kept = [line + "\n" for line in text.splitlines() if (row := _row(line)) is not None and row["step"] <= done]
    if "".join(kept) == text:
        return
    with complete_or_absent(path) as partial:
        partial.write_text("".join(kept), "utf-8")


def _set_aside(path: Path) -> None:
    """Renames a file that has rows to the first numbered name that is free."""
    if not path.is_file() or not path.stat().st_size:
        return
    numbered = (path.with_suffix(f".{number}{path.suffix}") for number in itertools.count(1))
    kept = next(each for each in numbered if not each.exists())
    path.rename(kept)
    logging.warning("%s is of a run without a checkpoint; it is kept as %s", path, kept.name)


def _row(line: str) -> dict | None:
    """The row in a line; None where the line was cut off."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def read_metrics(workdir: Path) -> list[dict]:
    """All rows of a run, sorted by step; a last line that is still being written, or was cut off, is left out."""
    text = (Path(workdir) / FILE).read_text(encoding="utf-8")
    rows = [row for line in text.splitlines() if (row := _row(line)) is not None]
    return sorted(rows, key=lambda row: (row["step"], VALIDATION in row))
