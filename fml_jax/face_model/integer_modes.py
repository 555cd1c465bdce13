"""Modes as integers with one step a mode: a third of the size of float16 after compression, at a chosen precision."""

import numpy as np
from jaxtyping import Float, Int


def quantised(modes: Float[np.ndarray, "K N 3"], error: float) -> tuple[Int[np.ndarray, "K N 3"], np.ndarray]:
    """Integers [K, N, 3] (int16) and steps [K] such that integer × step is within `error` of each mode.

    Modes too large for int16 at that precision get a coarser step.
    """
    modes = np.asarray(modes, np.float64)
    largest = np.abs(modes).max(axis=(1, 2))
    steps = np.maximum(2 * error, largest / np.iinfo(np.int16).max).astype(np.float32)
    return np.rint(modes / steps[:, None, None]).astype(np.int16), steps


def restored(integers: Int[np.ndarray, "K N 3"], steps: Float[np.ndarray, "K"]) -> Float[np.ndarray, "K N 3"]:
    """The modes, float32."""
    return integers.astype(np.float32) * steps[:, None, None].astype(np.float32)
