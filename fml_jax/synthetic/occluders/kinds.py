"""The kinds of occluders, and which of them a random face gets."""

from collections.abc import Callable, Sequence

import numpy as np

from fml_jax.errors import InputError
from fml_jax.synthetic.occluders.glasses import make_glasses
from fml_jax.synthetic.occluders.hands import make_hand
from fml_jax.synthetic.occluders.hats import make_hat
from fml_jax.synthetic.occluders.masks import make_mask
from fml_jax.synthetic.occluders.microphones import make_microphone
from fml_jax.synthetic.occluders.names import KINDS, UNOCCLUDED
from fml_jax.synthetic.occluders.surfaces import Surface
from fml_jax.synthetic.occluders.wearer import Wearer

# The kinds that are surfaces in space, in the order in which they are drawn: later ones lie in front of earlier ones.
# Of the others, hair is drawn by `hair` and blobs by `occluders.blobs`.
SURFACES: dict[str, Callable[[np.random.Generator, Wearer], Surface]] = {
    "masks": make_mask,
    "glasses": make_glasses,
    "hats": make_hat,
    "hands": make_hand,
    "microphones": make_microphone,
}
_FREQUENCY = {"glasses": 3.0, "hair": 2.0, "hands": 1.8, "blobs": 1.2, "hats": 1.2, "masks": 1.0, "microphones": 0.8}
_TWO = 0.2  # of the other faces, share with two kinds


def checked_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """The kinds, sorted and each once.

    Raises:
      InputError: a name is no kind.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise InputError(f"kinds of occluders: {unknown[0]!r} is unknown; choose among {', '.join(KINDS)}")
    return tuple(sorted(set(kinds)))


def sample_kinds(rng: np.random.Generator, allowed: Sequence[str], unoccluded: float = UNOCCLUDED) -> tuple[str, ...]:
    """The kinds of occluders of a random face: often none, sometimes two.

    Args:
      allowed: kinds to choose among.
      unoccluded: share of faces that get none.
    """
    if not allowed or rng.random() < unoccluded:
        return ()
    names = sorted(allowed)
    weights = np.array([_FREQUENCY[name] for name in names])
    count = min(len(names), 2 if rng.random() < _TWO else 1)
    return tuple(rng.choice(names, count, replace=False, p=weights / weights.sum()).tolist())
