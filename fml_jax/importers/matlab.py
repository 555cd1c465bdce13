"""Reading MATLAB's .mat files (version 5 to 7) from untrusted sources: plain arrays of bounded size."""

import math
import struct
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np
import scipy.io

from fml_jax.errors import InputError
from fml_jax.importers.raw_model import allowance, existing, one_line

_HEADER, _COMPRESSED = 128, 15  # bytes; the type of a compressed element
_NUMBERS = ("double", "single", "logical", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
_CHUNK = 1 << 20
_MOST_ELEMENTS = 10_000
_WIDEST = 8  # bytes of a number; MATLAB stores whole ones in fewer


def variables(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a file's arrays of numbers, by name; no array is read.

    Raises:
      InputError: no such file, none of this format, or it would unpack to more than its size allows.
    """
    _check_sizes(existing(path, "MATLAB file"))
    found = _scipys(path, lambda: scipy.io.whosmat(path))
    return {name: tuple(map(int, shape)) for name, shape, kind in found if kind in _NUMBERS}


def read_matlab(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """The arrays of these names that are there.

    Raises:
      InputError: as `variables`, or an array is damaged.
    """
    shapes = variables(path)
    wanted = [name for name in names if name in shapes]
    size = _WIDEST * sum(math.prod(shapes[name]) for name in wanted)
    if size > allowance(path):
        raise InputError(
            f"{path}: its arrays would take {size // 2**20} MiB; its size allows for {allowance(path) // 2**20}"
        )
    arrays = _scipys(path, lambda: scipy.io.loadmat(path, variable_names=wanted, mat_dtype=False))
    for name in wanted:
        array = arrays.get(name)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
            raise InputError(f"{path}: {name!r} holds no plain numbers; check the file")
    return {name: arrays[name] for name in wanted}


def _scipys(path, read):
    """What SciPy reads, with one error for all that it raises on damaged files."""
    try:
        return read()
    except NotImplementedError:
        raise InputError(f"{path}: MATLAB's format 7.3 is not read; save it with: save('-v7', …)") from None
    except MemoryError:
        raise InputError(f"{path}: its arrays do not fit into memory; check the file") from None
    except Exception as error:  # of many kinds, from its readers in Python and in C
        raise InputError(
            f"{path}: not a MATLAB file that can be read ({one_line(error)}); copy or download it again"
        ) from None


def _check_sizes(path: Path) -> None:
    """Unpacks all elements piece by piece, which takes no memory, and counts.

    Raises:
      InputError: they would take more than the file's size allows for.
    """
    limit, total = allowance(path), 0
    with path.open("rb") as file:
        header = file.read(_HEADER)
        if header[:4] == b"\x89HDF" or header[:19] == b"MATLAB 7.3 MAT-file":
            raise InputError(f"{path}: MATLAB's format 7.3 is not read; save it with: save('-v7', …)")
        if len(header) < _HEADER or header[126:128] not in (b"IM", b"MI"):
            raise InputError(f"{path}: not a MATLAB file of version 5 to 7; copy or download it again")
        order = "<" if header[126:128] == b"IM" else ">"
        for _ in range(_MOST_ELEMENTS):
            tag = file.read(8)
            if len(tag) < 8:
                return
            kind, size = struct.unpack(f"{order}II", tag)
            if kind & 0xFFFF != _COMPRESSED or kind >> 16:
                total += size
                file.seek(size, 1)
            else:
                total = _unpacked_size(path, file, size, total, limit=limit)
            if total > limit:
                raise InputError(
                    f"{path}: not read, since it would unpack to over {limit // 2**20} MiB, more than its size allows"
                )
    raise InputError(f"{path}: over {_MOST_ELEMENTS} variables, which is no face model")


def _unpacked_size(path, file, size, total, *, limit):
    """The total with a compressed element's unpacked size, as far as the limit."""
    unpacker, left = zlib.decompressobj(), size
    try:
        while left and total <= limit and not unpacker.eof:
            data = file.read(min(left, _CHUNK))
            if not data:
                break
            left -= len(data)
            while data and total <= limit:
                total += len(unpacker.decompress(data, _CHUNK))
                data = unpacker.unconsumed_tail
    except zlib.error as error:
        raise InputError(f"{path}: damaged ({error}); copy or download it again") from None
    file.seek(left, 1)
    return total
