"""Errors of the points of many scans, pooled: each scan keeps counts in narrow bins instead of all its errors."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from fml_jax.evaluation.figures import Curve

BIN = 0.01  # mm
_MOST = 3000  # bins; the last one has all larger errors


class Counted(NamedTuple):
    """The errors of one scan, mm."""

    n: int
    total: float
    squares: float
    bins: list[int]  # how many errors are in each bin, up to the last that has any

    @classmethod
    def of(cls, errors: Float[np.ndarray, "P"]) -> "Counted":
        """Counts errors."""
        places = np.minimum((errors / BIN).astype(int), _MOST - 1)
        return cls(len(errors), float(errors.sum()), float((errors**2).sum()), np.bincount(places).tolist())


class Pooled(NamedTuple):
    """The errors of all points of several scans, mm."""

    mean: float
    median: float  # within half a bin
    sd: float
    curve: Curve


def pooled(parts: Sequence[Mapping[str, Any]]) -> Pooled:
    """Sums over scans, of which each point counts once.

    Args:
      parts: `Counted` as dicts, as rows on disk have them.
    """
    n, total, squares = (sum(part[name] for part in parts) for name in ("n", "total", "squares"))
    longest = max(len(part["bins"]) for part in parts)
    bins = np.sum([np.pad(part["bins"], (0, longest - len(part["bins"]))) for part in parts], axis=0)
    percent, ends = 100 * np.cumsum(bins) / n, BIN * np.arange(1, longest + 1)
    median = float(np.interp(50, [0, *percent], [0, *ends]))
    return Pooled(total / n, median, float(np.sqrt(max(squares / n - (total / n) ** 2, 0))), Curve(ends, percent))
