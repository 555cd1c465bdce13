"""Paths that users give, and files and folders that programs write: complete or absent."""

import concurrent.futures
import contextlib
import contextvars
import errno
import functools
import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from fml_jax.errors import InputError

PARTIAL_SUFFIX = ".partial"
_FULL = (errno.ENOSPC, errno.EDQUOT)

_SYNCED_AT_ONCE = 8  # files
_serial_numbers = itertools.count()  # of this process's partial files


class DiskFullError(InputError):
    """The disk is full: no further file can be written."""


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


def checksum(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal; the file is read once as long as it is not changed.

    Raises:
      OSError: it cannot be read.
    """
    status = path.stat()
    return _checksum(path, (status.st_ino, status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=8)
def _checksum(path: Path, stamp: tuple[int, int, int]) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


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


def _unusable(folder: Path, reason: str | None) -> InputError:
    return InputError(f"{folder}: not a folder that can be written ({reason}); choose another")


class complete_or_absent:
    """A context that hands out a temporary path and moves the file to its own name at the end, in one step.

    Raises:
      InputError: an OSError within; a `DiskFullError` if the disk is full. No partial file remains.
    """

    def __init__(self, path: Path, *, synced: bool = False) -> None:
        """`synced`: the file is synced to the disk within the context."""
        self._path, self._synced = Path(path), synced
        unique = f"{os.getpid()}-{next(_serial_numbers)}"
        # A long name is cut: with the suffix it might be too long for the file system.
        self._partial = self._path.with_name(f"{self._path.name[:40]}.{unique}{PARTIAL_SUFFIX}")

    def __enter__(self) -> Path:
        return self._partial

    def __exit__(self, kind, error, trace):
        try:
            if error is None:
                if not self._synced:
                    _to_disk(self._partial)
                self._partial.replace(self._path)
        except OSError as raised:
            error = raised
        if error is not None:
            with contextlib.suppress(OSError):
                self._partial.unlink()
        if isinstance(error, OSError):
            raise cannot_be_written(self._path, error) from error


class _Together:
    """The files of an `all_together`: they are synced and get their names at its end."""

    def __init__(self, files: contextlib.ExitStack) -> None:
        self._files = files
        self._partials: dict[Path, Path] = {}  # by the path that each will get

    def add(self, paths: Sequence[Path]) -> list[Path]:
        """Partial files for some paths."""
        partials = [self._files.enter_context(complete_or_absent(path, synced=True)) for path in paths]
        self._partials |= dict(zip(paths, partials, strict=True))
        return partials

    def to_disk(self) -> None:
        _to_disk_together(list(self._partials), list(self._partials.values()))

    def remove(self) -> None:
        """Removes those that have got their names."""
        for path in self._partials:
            with contextlib.suppress(OSError):
                path.unlink()


_together: contextvars.ContextVar[_Together | None] = contextvars.ContextVar("_together", default=None)


@contextlib.contextmanager
def all_together() -> Iterator[None]:
    """A context for several `all_complete_or_absent`: they wait for the disk together, and no file stays alone.

    Files get their names at its end, the first one last.
    """
    with _gathered():
        yield


@contextlib.contextmanager
def all_complete_or_absent(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """`complete_or_absent` for files that belong together; no file stays without the others.

    The first of the files gets its name last, so that the others are there where it is. Within `all_together` they
    get their names at its end.
    """
    with contextlib.nullcontext(around) if (around := _together.get()) else _gathered() as together:
        try:
            yield together.add(paths)
        except OSError as error:
            raise cannot_be_written(paths[0], error) from error


@contextlib.contextmanager
def _gathered() -> Iterator[_Together]:
    files = contextlib.ExitStack()
    together = _Together(files)
    before = _together.set(together)
    try:
        with files:
            yield together
            together.to_disk()
    except BaseException:
        together.remove()
        raise
    finally:
        _together.reset(before)


def cannot_be_written(path: str | os.PathLike, error: OSError) -> InputError:
    """The error for a file that cannot be written."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return DiskFullError(f"{path}: cannot be written ({reason}); make room and run the same command again")
    remedy = "shorten the name" if error.errno == errno.ENAMETOOLONG else "check the path"
    return InputError(f"{path}: cannot be written ({reason}); {remedy}")


def _to_disk_together(paths: Sequence[Path], partials: Sequence[Path]) -> None:
    """Syncs the partial files of some paths at the same time: the disk then writes them at once."""
    waiting = [_threads(os.getpid()).submit(_to_disk, partial) for partial in partials]
    for path, error in zip(paths, [each.exception() for each in waiting], strict=True):
        if isinstance(error, OSError):
            raise cannot_be_written(path, error) from error


@functools.lru_cache(maxsize=1)
def _threads(process: int) -> concurrent.futures.ThreadPoolExecutor:
    """A process's threads that wait for the disk; a forked process has none of its parent's."""
    return concurrent.futures.ThreadPoolExecutor(_SYNCED_AT_ONCE, thread_name_prefix="to disk")


def _to_disk(path: Path) -> None:
    """Syncs the file to the disk, so that a power cut does not leave an empty file under its name."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
