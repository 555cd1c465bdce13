"""Numbers as the model file stores them."""

import numpy as np


def rounded(array: np.ndarray, step: float) -> np.ndarray:
    """float16, rounded to multiples of `step` (a power of two) where that is coarser: noise bits don't compress."""
    return (np.rint(np.asarray(array, np.float64) / step) * step).astype(np.float16)
