"""How the shapes of adults in photos are distributed: means and spreads of the identity modes.

The open model's modes span children, old age and every build alike. Faces drawn from them with unit variance differ
more from each other than the people in most photos do, and their mean is another. A network that learns from such
renders alone expects the model's mean, and predicts adults too near to it. `third_party.open_face_model.fit_adults`
estimates mean and spread from photos.
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

ADULT_SHARE = 0.5  # of a training corpus's renders; the others keep children and unusual faces in it
_FILE = Path(__file__).parent / "adults.json"


class IdentityDistribution(NamedTuple):
    """Independent normal distributions of the identity modes α_s, in standard deviations of the face model."""

    mean: Float[np.ndarray, "m_s"]
    spread: Float[np.ndarray, "m_s"]  # standard deviations


@cache
def adult_identities(face_model: str) -> IdentityDistribution | None:
    """The distribution of adults' identities in the face model of this name; None for all but the open model."""
    content = json.loads(_FILE.read_text())
    if not face_model.startswith(content["face_model"]):  # with fewer reflectance modes, the name is longer
        return None
    return IdentityDistribution(np.array(content["mean"]), np.array(content["spread"]))
