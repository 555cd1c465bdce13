"""What a run tells of itself: JSON lines, readable while it goes on and after it was killed, and TensorBoard's files."""

import json
from pathlib import Path

from tensorboardX import SummaryWriter

FILE = "metrics.jsonl"
CONFIG = "config.json"  # beside it: what the run was last started with
TENSORBOARD = "tensorboard"
VALIDATION = "validation"  # marks rows of values on held-out faces, and begins their names in TensorBoard
_FLUSH_SECONDS = 10  # between TensorBoard's writes


class MetricsWriter:
    """Appends to `WORKDIR/metrics.jsonl`, each line flushed when written, and to `WORKDIR/tensorboard/`.

    A file of the latter belongs to one start of the run; TensorBoard leaves out what an earlier start wrote of steps
    that a later one did again.
    """

    def __init__(self, workdir: Path | None, tensorboard: bool = True, done: int = 0):
        """
        Args:
          workdir: None for a writer that writes nothing.
          done: steps that the run continues after.
        """
        self._file = self._events = None
        if workdir is None:
            return
        self._file = open(workdir / FILE, "a", encoding="utf-8")
        if tensorboard:
            settings = dict(flush_secs=_FLUSH_SECONDS, filename_suffix=f".after_{done}")
            self._events = SummaryWriter(str(workdir / TENSORBOARD), purge_step=done + 1 if done else None, **settings)

    def write(self, step: int, values: dict) -> None:
        """One row; values on held-out faces have a further one under the name "validation"."""
        values = {name: float(value) for name, value in values.items()}
        if self._file is not None:
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
        if self._events is not None:
            prefix = f"{VALIDATION}/" if VALIDATION in values else ""
            for name in values.keys() - {VALIDATION, "seconds"}:
                self._events.add_scalar(prefix + name, values[name], step, walltime=values.get("seconds"))

    def close(self) -> None:
        """Ends both files; nothing can be written after it."""
        for each in (self._file, self._events):
            if each is not None:
                each.close()


def read_metrics(workdir: Path) -> list[dict]:
    """All rows of a run; where steps were done twice (after a resume) the later row counts.

    A last line that was cut off by a kill is left out.
    """
    rows = {}
    for line in (Path(workdir) / FILE).read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        key = (row["step"], VALIDATION in row)
        rows[key] = row
    return [rows[key] for key in sorted(rows)]
