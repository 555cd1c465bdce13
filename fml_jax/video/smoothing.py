"""Smoothing over time without lag: each value is replaced by that of a line fitted to its neighbours on both sides."""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

SECONDS = 0.04  # the standard deviation of the neighbours' weights: one frame of a film. More would flatten blinks
_REACH = 3.0  # standard deviations from which on neighbours are left out


def smoothed(
    values: Float[np.ndarray, "T K"], spread: float, weights: Float[np.ndarray, "T"] | None = None
) -> Float[np.ndarray, "T K"]:
    """Values of T frames, smoothed: at each frame, that of the line fitted to the frames around it.

    Weights of neighbours fall like a normal density. A line, unlike a mean, does not flatten the ends of a clip; either
    leaves steady motion where it is, so that there is no lag.

    Args:
      spread: standard deviation of that density, in frames; 0 leaves the values as they are.
      weights: of the frames, at least 0 and not all 0.
    """
    count, reach = len(values), min(int(np.ceil(_REACH * spread)), (len(values) - 1) // 2)
    if spread <= 0 or reach == 0:
        return values
    weights = np.ones(count) if weights is None else np.asarray(weights, float)
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / spread) ** 2)

    def sums(power: int, series: np.ndarray) -> np.ndarray:
        """Σ_j kernel(j − t) (j − t)^power series_j for every t."""
        taps = (kernel * offsets**power)[::-1]
        return np.stack([np.convolve(column, taps, "same") for column in series.T], axis=1)

    mass, first, second = (sums(power, weights[:, None]) for power in range(3))
    level, slope = (sums(power, weights[:, None] * values) for power in range(2))
    # A small share of the mass in place of a vanishing determinant: a lone frame keeps its own value.
    determinant = mass * second - first**2 + 1e-9 * mass**2
    return (((second + 1e-9 * mass) * level - first * slope) / determinant).astype(values.dtype)


def smoothed_rotations(
    rotations: Float[np.ndarray, "T 3"], spread: float, weights: Float[np.ndarray, "T"] | None = None
) -> Float[np.ndarray, "T 3"]:
    """As `smoothed`, of axis-angle vectors: the turns from their mean are smoothed, which are small."""
    turns = Rotation.from_rotvec(rotations)
    middle = turns.mean()
    from_middle = (turns * middle.inv()).as_rotvec()
    moved = Rotation.from_rotvec(smoothed(from_middle, spread, weights)) * middle
    return moved.as_rotvec().astype(rotations.dtype)
