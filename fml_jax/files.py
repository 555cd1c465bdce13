"""Paths that users give, and files and folders that programs write: complete or absent."""

import os
from pathlib import Path

from fml_jax.errors import InputError

PARTIAL_SUFFIX = ".partial"


def checked_path(path: str | os.PathLike) -> Path:
    """The path that a user gave.

    Raises:
      InputError: it is empty, which would stand for the current folder, or holds a null character.
    """
    if not os.fspath(path):
        raise InputError("an empty path is given; name a file or folder (the current folder is .)")
    if "\0" in os.fsdecode(path):
        raise InputError(f"{os.fsdecode(path)!r}: a path cannot hold a null character; check the path")
    return Path(path)


def output_folder(path: str | os.PathLike) -> Path:
    """A folder to write into, made if missing.

    Raises:
      InputError: the path is empty, or the folder cannot be made or written.
    """
    folder = checked_path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error.strerror or str(error)) from None
    if not os.access(folder, os.W_OK):
        raise _unusable(folder, "Permission denied")
    return folder


def _unusable(folder: Path, reason: str) -> InputError:
    return InputError(f"{folder}: not a folder that can be written ({reason}); choose another")


class complete_or_absent:
    """A context that hands out a temporary path and moves the file to its own name at the end, in one step.

    Raises:
      InputError: an OSError within, such as a full disk; nothing stays behind.
    """

    def __init__(self, path: Path):
        self._path = Path(path)
        self._partial = self._path.with_name(f"{self._path.name}.{os.getpid()}{PARTIAL_SUFFIX}")

    def __enter__(self) -> Path:
        return self._partial

    def __exit__(self, kind, error, trace):
        try:
            if error is None:
                _to_disk(self._partial)
                self._partial.replace(self._path)
        except OSError as raised:
            error = raised
        if error is not None:
            self._partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputError(
                f"{self._path}: cannot be written ({error}); make room and run the same command again"
            ) from error


def _to_disk(path: Path) -> None:
    """So that a name never stands for a file that a power cut has emptied."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
