"""What the field's benchmarks have in common: photos of a data set, each measured or reported with a reason."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fml_jax.errors import InputError
from fml_jax.evaluation.job import Job
from fml_jax.evaluation.kept_rows import Row
from fml_jax.evaluation.table import Part
from fml_jax.files import DiskFullError

FAILURE = "failure"


class BenchmarkPhoto(NamedTuple):
    """A photo with its truth."""

    name: str  # unlike those of the benchmark's other photos
    path: Path
    truth: tuple[Path, ...]  # the files of its truth
    group: str = ""


def measured_photos(
    job: Job, name: str, photos: Sequence[BenchmarkPhoto], *, measure: Callable[[BenchmarkPhoto], Row]
) -> tuple[list[Row], list[Row]]:
    """The rows of a benchmark's photos, and rows of those that could not be measured: name and reason.

    Rows are kept on disk. A photo is measured again when one of its files has another size or time.

    Args:
      name: of the table.
      measure: raises InputError where a photo cannot be measured; it is pickled for other processes.

    Raises:
      InputError: not a single photo could be measured, or files cannot be written.
    """

    rows = job.rows(name).measured(photos[: job.most], _Reported(measure), key=_key, workers=job.workers)
    failures = [row for row in rows if FAILURE in row]
    if len(failures) == len(rows):
        raise InputError(f"--tables={name}: none of {len(rows)} photos can be measured; {failures[0][FAILURE]}")
    return [row for row in rows if FAILURE not in row], failures


class _Reported:
    """Measures photos; the row of one that cannot be measured has the reason."""

    def __init__(self, measure: Callable[[BenchmarkPhoto], Row]) -> None:
        self._measure = measure

    def __call__(self, photo: BenchmarkPhoto) -> Row:
        try:
            return {"photo": photo.name, **self._measure(photo)}
        except DiskFullError:  # which is no fault of the photo
            raise
        except InputError as error:
            return {"photo": photo.name, FAILURE: str(error)}


def left_out(failures: Sequence[Row]) -> list[Part]:
    """The part of a table that names the photos that could not be measured; none without failures."""
    rows = [(row["photo"], row[FAILURE]) for row in failures]
    return [Part(f"Left out: {len(rows)}", ("photo", "reason"), rows)] if rows else []


def by_level(rows: Sequence[Row]) -> list[Row]:
    """A row for each photo and level, of rows whose numbers are in `levels` by name; for CSV files."""
    return [
        {name: value for name, value in row.items() if name != "levels"} | {"level": level, **numbers}
        for row in rows
        for level, numbers in row["levels"].items()
    ]


def level_names(rows: Sequence[Row]) -> list[str]:
    """The levels that rows have, in order."""
    return list(dict.fromkeys(level for row in rows for level in row["levels"]))


def columns(rows: Sequence[Row], names: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """For each level the values of these names, one [P] of the photos for each name."""
    return {
        level: [np.array([row["levels"][level][name] for row in rows]) for name in names] for level in level_names(rows)
    }


def _key(photo: BenchmarkPhoto) -> str:
    return " ".join([photo.name, *map(_stamp, (photo.path, *photo.truth))])


def _stamp(path: Path) -> str:
    try:
        about = path.stat()
    except OSError:
        return "absent"
    return f"{about.st_size}-{about.st_mtime_ns}"
