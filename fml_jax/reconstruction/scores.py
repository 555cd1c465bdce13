"""The network's score of a crop and the detector's confidence in its box, taken together.

Clear faces in conditions that the network saw little of, such as profiles and deep blue light, score low, although the
detector is as sure of them as of any face. False boxes are not: of 146 of libfacedetection's, one in a hundred had a
confidence above 0.75.
"""

import numpy as np
from jaxtyping import Float

SURE = 0.85  # from this confidence on, the higher score of two looks counts, else the lower
DOUBTFUL = 0.75  # up to this confidence, the box counts for nothing
MOST_ODDS = 20.0  # by which a sure detector multiplies the score's odds


def of_two_looks(
    first: Float[np.ndarray, "B"], second: Float[np.ndarray, "B"], confidence: Float[np.ndarray, "B"]
) -> Float[np.ndarray, "B"]:
    """The scores of crops that were framed again by what was seen in them."""
    return np.where(confidence >= SURE, np.maximum(first, second), np.minimum(first, second))


def with_detector(scores: Float[np.ndarray, "B"], confidence: Float[np.ndarray, "B"]) -> Float[np.ndarray, "B"]:
    """Scores whose odds are multiplied by 1 (doubtful boxes) to MOST_ODDS (sure ones)."""
    sure = np.clip((confidence - DOUBTFUL) / (SURE - DOUBTFUL), 0, 1)
    factor = (MOST_ODDS**sure).astype(scores.dtype)
    return scores * factor / (1 + scores * (factor - 1))
