"""Metrics as JSON lines: one object a line, readable while the run goes on and after it was killed."""

import json
import os
from pathlib import Path


class MetricsWriter:
    """Appends to `WORKDIR/metrics.jsonl`, each line flushed when written; without a workdir, nowhere."""

    def __init__(self, workdir: Path | None):
        self._file = open(os.devnull if workdir is None else Path(workdir) / "metrics.jsonl", "a", encoding="utf-8")

    def write(self, step: int, values: dict) -> None:
        row = {"step": step, **{name: float(value) for name, value in values.items()}}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_metrics(workdir: Path) -> list[dict]:
    """All rows of a run; where steps were done twice (after a resume) the later row counts.

    A last line that was cut off by a kill is left out.
    """
    rows = {}
    for line in (Path(workdir) / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        key = (row["step"], "validation" in row)
        rows[key] = row
    return [rows[key] for key in sorted(rows)]
