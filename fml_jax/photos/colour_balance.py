"""Crops under strongly coloured or very weak light, brought near the light that networks are trained with."""

import numpy as np
from jaxtyping import Float, UInt8

STRONG_CAST = 2.5  # from this ratio of the brightest to the darkest channel on, a crop's channels are balanced
DARK = 40.0  # grey levels; crops whose mean is below are brightened to it
LARGEST_GAIN = 8.0  # more would enlarge the noise of a dark channel
_FACE = slice(60, 180)  # rows and columns of a crop


def balancing_gains(crops: UInt8[np.ndarray, "B 240 240 3"]) -> Float[np.ndarray, "B 3"]:
    """Factors for the channels of each crop, float32; 1 under ordinary light."""
    means = np.maximum(crops[:, _FACE, _FACE].mean(axis=(1, 2)), 1.0)
    brightness = means.mean(axis=1, keepdims=True)
    balanced = means.max(axis=1, keepdims=True) > STRONG_CAST * means.min(axis=1, keepdims=True)
    gains = np.where(balanced, brightness / means, 1.0) * np.maximum(DARK / brightness, 1.0)
    return np.minimum(gains, LARGEST_GAIN).astype(np.float32)


def balanced(
    crops: UInt8[np.ndarray, "B 240 240 3"], gains: Float[np.ndarray, "B 3"]
) -> UInt8[np.ndarray, "B 240 240 3"]:
    """The crops times their gains."""
    if (gains == 1).all():
        return crops
    return np.clip(np.rint(crops * gains[:, None, None]), 0, 255).astype(np.uint8)
