"""Principal components through the small Gram matrix, with signs fixed so that two runs agree."""

import numpy as np
import scipy.linalg


def principal_modes(samples: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, float]:
    """The strongest directions of displacement from zero (centre the samples first, or don't).

    Args:
      samples: [S, N, C].
      count: how many modes.

    Returns:
      modes [count, N, C], times their standard deviations, strongest first; each mode's largest
        entry is positive; sigma [count]; the share of the variance that they explain.
    """
    total = len(samples)
    flat = samples.reshape(total, -1).astype(np.float32)
    gram = (flat @ flat.T if total <= flat.shape[1] else flat.T @ flat).astype(np.float64)
    size = len(gram)
    values, vectors = scipy.linalg.eigh(gram, subset_by_index=[size - count, size - 1])
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    sigma = np.sqrt(values / total)
    directions = vectors.T.astype(np.float32) @ flat if total <= flat.shape[1] else vectors.T
    directions = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-30)
    largest = np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], axis=1)
    modes = directions * np.sign(largest) * sigma[:, None]
    return modes.reshape(count, *samples.shape[1:]), sigma, values.sum() / np.trace(gram)
