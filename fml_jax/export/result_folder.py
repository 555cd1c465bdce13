"""The index of a folder of results: an entry for each photo, in one SQLite file, so that a run can be continued.

The file grows with the number of photos and memory does not. One program at a time writes into a folder.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import NamedTuple

from fml_jax.errors import InputError, printable
from fml_jax.files import DiskFullError

FILE = "reconstructions.sqlite3"

_TABLE = """
CREATE TABLE IF NOT EXISTS photos (
    path BLOB PRIMARY KEY,      -- absolute
    stem BLOB NOT NULL,         -- first part of its results' names, relative to the folder
    stem_key BLOB UNIQUE,       -- the same where upper and lower case count as one
    shown TEXT NOT NULL,        -- the photo's path relative to the input
    stamp TEXT NOT NULL,        -- size and time of the photo when it was read
    settings TEXT NOT NULL,     -- what it was reconstructed with
    faces TEXT NOT NULL,        -- JSON, a list for each face: index, score, yaw, pitch, roll
    face_count INTEGER NOT NULL,
    dropped TEXT NOT NULL,      -- JSON, a line for each detected box that was no face
    failure TEXT,               -- why there is no face
    retry INTEGER NOT NULL      -- whether the failure may be none in another run
) WITHOUT ROWID
"""
_COLUMNS = "path, stem, shown, stamp, settings, faces, dropped, failure, retry"


@dataclass(frozen=True)
class FaceEntry:
    """The numbers that the page shows of a face."""

    index: int
    score: float
    yaw: float  # degrees
    pitch: float
    roll: float


class PhotoEntry(NamedTuple):
    """The outcome of a photo."""

    path: str  # absolute
    stem: str
    shown: str
    stamp: str
    settings: str
    faces: tuple[FaceEntry, ...]
    dropped: tuple[str, ...]
    failure: str | None
    retry: bool


class ResultFolder:
    """The entries of a folder; a context manager."""

    def __init__(self, folder: Path) -> None:
        """Opens the folder's file, or makes it.

        Raises:
          InputError: the file cannot be made or is no such file, or another program is writing into the folder.
        """
        self.path = folder / FILE
        try:
            self._base = sqlite3.connect(os.fspath(self.path), timeout=1, isolation_level=None)
            self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._base.execute("BEGIN EXCLUSIVE")
            self._base.execute(_TABLE)
            self._base.execute("COMMIT")
            self._base.execute(f"SELECT {_COLUMNS} FROM photos LIMIT 1").fetchall()
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def __enter__(self) -> "ResultFolder":
        return self

    def __exit__(self, *_) -> None:
        self._base.close()

    def find(self, path: str) -> PhotoEntry | None:
        """A photo's entry."""
        return next(self._rows("WHERE path = ?", os.fsencode(path)), None)

    def owner(self, stem: str) -> str | None:
        """The photo whose results have a name; upper and lower case count as one."""
        row = self._execute("SELECT path FROM photos WHERE stem_key = ?", _key(stem)).fetchone()
        return None if row is None else os.fsdecode(row[0])

    def store(self, entries: Iterable[PhotoEntry]) -> None:
        """Adds entries or replaces those of the same photos, all or none.

        Raises:
          InputError: the disk is full.
        """
        rows = [
            (
                os.fsencode(entry.path),
                os.fsencode(entry.stem),
                _key(entry.stem),
                entry.shown,
                entry.stamp,
                entry.settings,
                json.dumps([astuple(face) for face in entry.faces]),
                len(entry.faces),
                json.dumps(entry.dropped),
                entry.failure,
                entry.retry,
            )
            for entry in entries
        ]
        try:
            self._base.execute("BEGIN")
            self._base.executemany(f"REPLACE INTO photos VALUES ({', '.join('?' * 11)})", rows)
            self._base.execute("COMMIT")
        except sqlite3.Error as error:
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")
            raise self._failure(error) from None

    def forget(self, path: str) -> None:
        """Removes a photo's entry."""
        self._execute("DELETE FROM photos WHERE path = ?", os.fsencode(path))

    def paths(self) -> Iterator[str]:
        """The photos that have entries."""
        return (os.fsdecode(path) for (path,) in self._execute("SELECT path FROM photos"))

    def with_faces(self) -> Iterator[PhotoEntry]:
        """The photos that show faces, by path."""
        return self._rows("WHERE face_count > 0 ORDER BY path")

    def failures(self) -> Iterator[tuple[str, str]]:
        """(photo, reason) of photos without a face and of boxes that were no face, by path."""
        for entry in self._rows("WHERE failure IS NOT NULL OR dropped != '[]' ORDER BY path"):
            for reason in entry.dropped if entry.failure is None else [entry.failure]:
                yield entry.shown, reason

    def count_faces(self) -> int:
        """How many faces there are."""
        return int(self._execute("SELECT TOTAL(face_count) FROM photos").fetchone()[0])

    def count_failures(self) -> int:
        """How many photos gave no face."""
        return self._execute("SELECT COUNT(*) FROM photos WHERE failure IS NOT NULL").fetchone()[0]

    def _rows(self, clause: str, *values: bytes) -> Iterator[PhotoEntry]:
        for path, stem, shown, stamp, settings, faces, dropped, failure, retry in self._execute(
            f"SELECT {_COLUMNS} FROM photos {clause}", *values
        ):
            yield PhotoEntry(
                os.fsdecode(path),
                os.fsdecode(stem),
                shown,
                stamp,
                settings,
                faces=tuple(FaceEntry(*face) for face in json.loads(faces)),
                dropped=tuple(json.loads(dropped)),
                failure=failure,
                retry=bool(retry),
            )

    def _execute(self, command: str, *values: bytes) -> sqlite3.Cursor:
        try:
            return self._base.execute(command, values)
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def _failure(self, error: sqlite3.Error) -> InputError:
        name = printable(self.path)
        if "locked" in str(error):
            return InputError(f"{name}: another program is writing into this folder; wait for it or choose another")
        if "full" in str(error):
            return DiskFullError(f"{name}: cannot be written ({error}); make room and run the same command again")
        return InputError(f"{name}: cannot be used ({error}); choose another folder, or remove it")


def _key(stem: str) -> bytes:
    return os.fsencode(stem.casefold())
