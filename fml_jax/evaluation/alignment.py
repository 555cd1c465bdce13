"""Rigid and similarity alignment of corresponding points (Umeyama's closed form)."""

from typing import NamedTuple

import numpy as np


class Similarity(NamedTuple):
    """x ↦ scale · R x + t."""

    scale: float
    rotation: np.ndarray  # [3, 3]
    translation: np.ndarray  # [3]

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return self.scale * points @ self.rotation.T + self.translation


def align(source: np.ndarray, target: np.ndarray, with_scale: bool = True) -> Similarity:
    """The similarity (or rigid motion) that brings source [N, 3] nearest to target [N, 3] in least squares."""
    source_mean, target_mean = source.mean(0), target.mean(0)
    centred_source, centred_target = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(centred_target.T @ centred_source)
    handed = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * handed) @ vt
    scale = float((singular * handed).sum() / (centred_source**2).sum()) if with_scale else 1.0
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)
