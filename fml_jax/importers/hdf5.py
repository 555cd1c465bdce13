"""Reading HDF5 files from untrusted sources: plain numbers of the file itself, no more than its size allows."""

import math
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from fml_jax.errors import InputError
from fml_jax.importers.raw_model import allowance, existing, one_line

_MOST_CHUNKS = 20_000  # of a dataset: the library keeps a record of each while it reads


def read_hdf5(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """The datasets of these names that are there.

    Their sizes are checked from their headers before any is read. Links to other files are not followed.

    Raises:
      InputError: no such file, no HDF5, h5py is missing, or a dataset holds no plain numbers or too many.
    """
    try:
        import h5py
    except ImportError:
        raise InputError(f"{path}: HDF5 files need h5py; run: pip install h5py") from None
    existing(path, "HDF5 file")
    try:
        with h5py.File(path, "r") as file:
            found = {name: data for name in names if (data := _dataset(h5py, file, path, name)) is not None}
            _check_sizes(path, found)
            for name, data in found.items():
                if data.chunks is not None:
                    _check_chunks(h5py, path, name, data)
            return {name: data[()] for name, data in found.items()}
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: not an HDF5 file that can be read ({one_line(error)}); copy or download it again"
        ) from None


def _dataset(h5py, file, path, name):
    """A dataset; None if it is missing. Each part of its name must be a part of this file."""
    at = file
    for part in name.split("/"):
        if not isinstance(at, h5py.Group):
            return None
        link = at.get(part, getlink=True)
        if link is None:
            return None
        if isinstance(link, h5py.ExternalLink | h5py.SoftLink):
            raise InputError(f"{path}: {name!r} is a link to another place, which is not followed; save the file anew")
        at = at[part]
    if not isinstance(at, h5py.Dataset):
        return None
    if at.external or at.is_virtual:
        raise InputError(f"{path}: {name!r} lies in another file, which is not read; save the file anew")
    if at.shape is None or at.dtype.kind not in "fiu":
        raise InputError(f"{path}: {name!r} holds {at.dtype} and not plain numbers")
    return at


def _check_sizes(path, datasets):
    # A chunk is read as a whole, and may be larger than its dataset.
    sizes = [
        max(math.prod(data.shape), math.prod(data.chunks or ())) * data.dtype.itemsize for data in datasets.values()
    ]
    if sum(sizes) > allowance(path):
        raise InputError(
            f"{path}: its arrays would take {sum(sizes) // 2**20} MiB; its size allows for {allowance(path) // 2**20}"
        )


def _check_chunks(h5py, path, name, data):
    """Refuses chunks that unpack to more than a chunk: the library inflates them as far as they go."""
    plan = data.id.get_create_plist()
    filters = [plan.get_filter(k)[0] for k in range(plan.get_nfilters())]
    deflate, shuffle, checksum = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32
    # In their order, and each once: what is deflated may not be packed again.
    if filters != [each for each in (shuffle, deflate, checksum) if each in filters]:
        raise InputError(
            f"{path}: {name!r} is packed in a way that is not read; save the file anew, with gzip or as it is"
        )
    count = math.prod(-(-side // along) for side, along in zip(data.shape, data.chunks, strict=True))
    if count > _MOST_CHUNKS:
        raise InputError(f"{path}: {name!r} lies in {count} pieces; save the file anew in larger ones")
    if deflate not in filters:
        return
    most = math.prod(data.chunks) * data.dtype.itemsize
    for chunk in _chunks(data):
        if chunk.size > path.stat().st_size:
            raise InputError(f"{path}: {name!r} claims more than the file holds; copy or download it again")
        _, packed = data.id.read_direct_chunk(chunk.chunk_offset)
        if _unpacks_to_more(packed, most):
            raise InputError(f"{path}: {name!r} would unpack to more than it claims; it is not read")


def _chunks(data):
    """What is stored of each chunk, as far as there may be chunks."""
    found: list = []
    data.id.chunk_iter(lambda chunk: found.append(chunk) or len(found) > _MOST_CHUNKS or None)
    return found


def _unpacks_to_more(packed, most):
    """Whether deflated data hold more bytes; they are unpacked no further."""
    try:
        return len(zlib.decompressobj().decompress(packed, most + 1)) > most
    except zlib.error:  # the library will say the same
        return False
