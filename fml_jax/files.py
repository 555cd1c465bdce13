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

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self._partial = _partial_of(self._path)

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
            with contextlib.suppress(OSError):
                self._partial.unlink()
        if isinstance(error, OSError):
            raise cannot_be_written(self._path, error) from error


def _partial_of(path: Path) -> Path:
    """A name for the unfinished file, which no other has."""
    unique = f"{os.getpid()}-{next(_serial_numbers)}"
    # A long name is cut: with the suffix it might be too long for the file system.
    return path.with_name(f"{path.name[:40]}.{unique}{PARTIAL_SUFFIX}")


class _Together:
    """Partial files, which are synced at the same time and then get their names."""

    def __init__(self) -> None:
        self._partials: dict[Path, Path] = {}  # by the path that each will get
        self._named: list[Path] = []

    def add(self, paths: Sequence[Path]) -> list[Path]:
        """Partial files for some paths."""
        twice = [str(path) for path in paths if path in self._partials]
        if twice:
            raise ValueError(f"written twice at the same time: {', '.join(twice)}")
        self._partials |= {path: _partial_of(path) for path in paths}
        return [self._partials[path] for path in paths]

    def drop(self, paths: Sequence[Path]) -> None:
        """Removes the partial files of some paths."""
        for path in paths:
            with contextlib.suppress(OSError):
                self._partials.pop(path).unlink()

    def complete(self) -> None:
        """Syncs the files and gives them their names, the first one last."""
        _to_disk_together(list(self._partials), list(self._partials.values()))
        for path, partial in reversed(self._partials.items()):
            try:
                partial.replace(path)
            except OSError as error:
                raise cannot_be_written(path, error) from error
            self._named.append(path)

    def remove(self) -> None:
        """Removes all partial files, and those that have got their names."""
        self.drop(list(self._partials))
        for path in self._named:
            with contextlib.suppress(OSError):
                path.unlink()


_together: contextvars.ContextVar[_Together | None] = contextvars.ContextVar("_together", default=None)


@contextlib.contextmanager
def all_together() -> Iterator[None]:
    """A context for several `all_complete_or_absent` of one thread: all of their files are complete or absent.

    At its end all files are synced to the disk at the same time, and get their names, the first one last. After an
    error none of them remains; older files are left as they were unless they had been replaced.
    """
    with _gathered():
        yield


@contextlib.contextmanager
def all_complete_or_absent(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """`complete_or_absent` for files that belong together; no file stays without the others.

    The first of the files gets its name last, so that the others are there where it is. Within `all_together` they
    get their names at its end.
    """
    with _gathered() as together:
        partials = together.add(paths)
        try:
            yield partials
        except BaseException as error:
            together.drop(paths)
            if isinstance(error, OSError):
                raise cannot_be_written(paths[0], error) from error
            raise


@contextlib.contextmanager
def _gathered() -> Iterator[_Together]:
    """The files of the context around this one, or of a new one that ends with this."""
    if (around := _together.get()) is not None:
        yield around
        return
    together = _Together()
    before = _together.set(together)
    try:
        yield together
        together.complete()
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
        if error is not None:
            raise error


@functools.lru_cache(maxsize=1)
def _threads(process: int) -> concurrent.futures.ThreadPoolExecutor:
    """A process's threads that wait for the disk; a forked process has none of its parent's."""
    return concurrent.futures.ThreadPoolExecutor(_SYNCED_AT_ONCE, thread_name_prefix="to disk")


def _to_disk(path: Path) -> None:
    """Syncs the file to the disk, so that a power cut does not leave an empty file under its name."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
