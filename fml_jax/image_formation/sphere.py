"""Evenly spread directions, for sums over all normals that a surface may have."""

import numpy as np
from jaxtyping import Float


def fibonacci_sphere(count: int, top: float = 1.0) -> Float[np.ndarray, "count 3"]:
    """Unit vectors spread evenly over the part of the sphere where −1 ≤ z ≤ `top` (a Fibonacci spiral)."""
    k = np.arange(count) + 0.5
    z = top - (1 + top) * k / count
    angle = np.pi * (1 + 5**0.5) * k
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)
