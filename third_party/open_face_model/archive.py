"""Writing the model file: an npz whose bytes depend on the arrays alone."""

import io
import zipfile
from pathlib import Path

import numpy as np

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays compressed, in the given order, with a fixed date."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asanyarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, buffer.getvalue())


def rounded(array: np.ndarray, step: float) -> np.ndarray:
    """float16, rounded to multiples of `step` (a power of two) where that is coarser: noise bits don't compress."""
    return (np.rint(np.asarray(array, np.float64) / step) * step).astype(np.float16)
