"""Writing model files: an npz whose bytes depend on the arrays alone, so that a model keeps its checksum and name."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold


def write_npz(path: Path, arrays: Mapping[str, np.ndarray | np.generic], *, level: int = 9) -> None:
    """Writes arrays in the given order, with a fixed date.

    Args:
      level: of compression, 0 (none) to 9. Real numbers of measurements hardly shrink.
    """
    method = zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method, compresslevel=level or None) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asanyarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            entry.compress_type = method
            archive.writestr(entry, buffer.getvalue())
