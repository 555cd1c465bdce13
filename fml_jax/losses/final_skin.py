"""Losses of the final level's reflectance (not in the paper): known on renders, and one person's photos agree.

One photo shows products of reflectance and light. The paper's regularisers (eq. 13 and 14) leave a soft shadow, or a
chin that is lit from below, in the reflectance. Renders show what is light; so do several photos of one person.

A difference's mean over the skin does not count: the final level does not change the tone.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float, Int

from fml_jax.face_model.base import BaseModel
from fml_jax.losses.identity import pairs_of
from fml_jax.ops.arrays import Array
from fml_jax.ops.dot_products import guarded_lengths

_THINNING = 4  # photos are compared with each other at every fourth vertex


class FinalSkinWeights(NamedTuple):
    """Weights of the losses of the final level's reflectance; both are mean RGB distances."""

    known: float = 0.0  # from the true reflectance, on renders
    agreement: float = 0.0  # between photos of one person


def known_skin_energy(
    model: BaseModel, reflectance: Float[Array, "N 3"], true: Float[Array, "N 3"]
) -> Float[Array, ""]:
    """The mean distance of a face's reflectance from the true one, RGB, over the region "face"."""
    return _distance(reflectance - true, *_members(model))


def skin_agreement_energies(
    model: BaseModel, reflectances: Float[Array, "n N 3"], person: Int[Array, "n"], *, applies: Float[Array, "n"]
) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
    """The mean distance of each photo's reflectance from those of its person's others, and 1 where there are any.

    Args:
      person: numbers.
      applies: 1 where a row shows a face.
    """
    _, same = pairs_of(person, applies)
    members, skin = (share[::_THINNING] for share in _members(model))
    thinned = reflectances[:, ::_THINNING]
    distances = _distance(thinned[:, None] - thinned[None], members, skin)
    count = same.sum(axis=1)
    return (same * distances).sum(axis=1) / jnp.maximum(count, 1), (count > 0).astype(reflectances.dtype)


def _members(model: BaseModel) -> tuple[Float[Array, "N"], Float[Array, "N"]]:
    """1 for vertices of the face, and 1 for those of the skin."""
    return jnp.asarray(model.regions["face"], jnp.float32), jnp.asarray(model.regions["skin"], jnp.float32)


def _distance(
    gaps: Float[Array, "*batch N 3"], members: Float[Array, "N"], skin: Float[Array, "N"]
) -> Float[Array, "*batch"]:
    """The mean length of gaps over members, without the gaps' mean over the skin."""
    tone = jnp.einsum("...nc,n->...c", gaps, skin / jnp.maximum(skin.sum(), 1))
    return guarded_lengths(gaps - tone[..., None, :]) @ members / jnp.maximum(members.sum(), 1)
