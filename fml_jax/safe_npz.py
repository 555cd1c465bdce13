"""Npz files: reading them from untrusted sources, and writing them quickly.

Every npz file that the package reads passes through `read_npz`: face models, network weights and codes. What a file
claims to hold is checked from the zip directory and the npy headers, before any array takes up memory.
"""

import contextlib
import functools
import math
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fml_jax.errors import InputError

MAX_ARRAYS = 4096
MAX_AXES = 16
MAX_HEADER = 10_000  # bytes of an npy header
_PLAIN = "biufU"  # kinds of NumPy types: booleans, integers, real numbers, text

# A file may unpack to FREE bytes plus RATIO times its own size. Arrays of measurements shrink to no less than about a
# third when they are compressed; masks and zeros shrink further and fit into FREE.
FREE = 64 * 2**20
RATIO = 20

_LEVEL = 1  # of zlib, for files that are written; an array is compressed
_SHRUNK = 0.9  # if it then has this share of its size
_SAMPLE = 8192  # bytes


class Header(NamedTuple):
    """The header of one array in an npz file."""

    shape: tuple[int, ...]
    dtype: np.dtype
    size: int  # bytes


def read_headers(path: str | Path, kind: str = "npz file") -> dict[str, Header]:
    """The shapes and types of the arrays in an npz file, by name; no array is read.

    Args:
      kind: what error messages call the file, such as "weights file".

    Raises:
      InputError: the file is missing or cannot be read, is no npz file, holds anything but plain arrays, or would
        unpack to more than FREE + RATIO times its size.
    """
    with _opened(Path(path), kind) as archive:
        return _headers(archive, Path(path), kind)


def read_npz(path: str | Path, kind: str = "npz file", names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an npz file by name, all or those in `names` that are there.

    Memory is bounded by what `read_headers` allows; nothing is unpickled.

    Raises:
      InputError: as `read_headers`, of the arrays that are read, or an array's bytes are damaged.
    """
    with _opened(Path(path), kind) as archive:
        return {name: _array(archive, name) for name in _headers(archive, Path(path), kind, names)}


def write_npz(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays as NumPy's `savez_compressed` does, in a quarter of the time and to the same size within 6 %.

    Raises:
      OSError: the file cannot be written.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name, given in arrays.items():
            array = np.asanyarray(given)
            archive.compression = zipfile.ZIP_STORED if _hardly_shrinks(array) else zipfile.ZIP_DEFLATED  # of an entry
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _hardly_shrinks(array: np.ndarray) -> bool:
    """Whether compression would take time for little, such as that of measurements, judged by an array's beginning."""
    sample = array.ravel()[: _SAMPLE // max(array.itemsize, 1)].tobytes()
    return len(zlib.compress(sample, _LEVEL)) > _SHRUNK * len(sample)


# What zipfile and zlib raise on damaged content.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, UnicodeDecodeError)


@contextlib.contextmanager
def _opened(path: Path, kind: str) -> Iterator[zipfile.ZipFile]:
    """The zip archive; damage found inside becomes one InputError."""
    if not path.is_file():
        raise InputError(f"{path}: no such {kind}; check the path")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: not a {kind} ({reason[:200]}); copy or download it again") from None


def _headers(
    archive: zipfile.ZipFile, path: Path, kind: str, names: Collection[str] | None = None
) -> dict[str, Header]:
    entries = archive.infolist()
    if len(entries) > MAX_ARRAYS:
        raise InputError(f"{path}: not a {kind} ({len(entries)} arrays; at most {MAX_ARRAYS} are read)")
    size, limit = sum(entry.file_size for entry in entries), FREE + RATIO * path.stat().st_size
    if size > limit:
        raise InputError(
            f"{path}: not a {kind} (it would unpack to {size // 2**20} MiB; its size allows for {limit // 2**20})"
        )
    by_name = {entry.filename.removesuffix(".npy"): entry for entry in entries}
    if len(by_name) < len(entries):
        raise InputError(f"{path}: not a {kind} (an array is there twice)")
    wanted = [name for name in by_name if names is None or name in names]
    return {name: _header(archive, by_name[name], path, kind) for name in wanted}


def _header(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, kind: str) -> Header:
    refused = functools.partial(_refused, path, kind, entry)
    # Other methods of compression, which NumPy does not write, unpack without a bound.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise refused("is compressed in another way than NumPy's")
    with archive.open(entry) as file:
        try:
            if np.lib.format.read_magic(file) != (1, 0):
                raise refused("has another header than plain arrays")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=MAX_HEADER)
        except InputError:
            raise
        except (ValueError, TypeError, RecursionError, MemoryError):
            raise refused("is no NumPy array") from None
        start = file.tell()
    if dtype.kind not in _PLAIN:
        raise refused(f"holds {dtype} and not plain numbers or text")
    size = math.prod(shape) * dtype.itemsize
    sides_are_sane = len(shape) <= MAX_AXES and all(0 <= side < 2**31 for side in shape)
    if not sides_are_sane or size != entry.file_size - start:
        raise refused(f"claims the shape {shape}, which is not what it holds"[:300])
    return Header(shape, dtype, size)


def _refused(path: Path, kind: str, entry: zipfile.ZipInfo, reason: str) -> InputError:
    return InputError(f"{path}: not a {kind} ({entry.filename[:100]!r} {reason})")


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    entry = f"{name}.npy" if f"{name}.npy" in archive.namelist() else name
    with archive.open(entry) as file:
        return np.lib.format.read_array(file, allow_pickle=False, max_header_size=MAX_HEADER)


def check_headers(headers: Mapping[str, Header], expected: Mapping[str, tuple[int, ...]]) -> str | None:
    """The first array of `expected` that is missing or of another shape, as a few words; None if all are there."""
    for name, shape in expected.items():
        if name not in headers:
            return f"{name!r} is missing"
        if headers[name].shape != tuple(shape):
            return f"{name!r} has shape {headers[name].shape}, not {tuple(shape)}"
    return None
