"""How the shapes of adults in photos vary: other means and spreads of the identity modes than all people's.

The open model's modes span children, old age and every build alike, so that faces drawn from them with unit variance
are wilder than the people of most photos, and have another mean. A network that learns from such renders alone takes
what adults have in common for chance, and moves each of them toward the mean of all.
`third_party.open_face_model.fit_adults` estimates both from photos.
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

ADULTS = 0.5  # share of renders whose shapes are drawn like this
_FILE = Path(__file__).parent / "adults.json"


class Shapes(NamedTuple):
    """A distribution of identities α_s: independent normal modes."""

    mean: Float[np.ndarray, "m_s"]
    spread: Float[np.ndarray, "m_s"]  # standard deviations


@cache
def adults(face_model: str) -> Shapes | None:
    """The shapes of adults in a face model of this name; None where they are not known, for all but the open model."""
    content = json.loads(_FILE.read_text())
    if not face_model.startswith(content["face_model"]):  # a variant's name says more
        return None
    return Shapes(np.array(content["mean"]), np.array(content["spread"]))
