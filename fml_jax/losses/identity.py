"""A loss by which photos of one person agree on an identity, and those of different people differ (not in the paper).

The paper's energy treats each photo alone, so that identity absorbs what pose and expression leave over. Pulling photos
of one person together alone would make all people alike. So people are told apart: a photo's identity should be nearer
to that person's other photos than to everybody else's (InfoNCE, van den Oord et al. 2018).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from fml_jax.face_model.base import BaseModel
from fml_jax.ops.arrays import Array

TEMPERATURE = 1.0  # mm²: by so much nearer, a photo is e times as likely to be the same person's
_THINNING = 4  # distances are over every fourth vertex
_NEVER = -1e9


def identity_distances(model: BaseModel, identity: Float[Array, "n m"]) -> Float[Array, "n n"]:
    """Squared distances of neutral faces, mean over the model's vertices, mm².

    Args:
      identity: α_s of n faces.
    """
    modes = model.identity[:, ::_THINNING].reshape(len(model.identity), -1)
    gram = modes @ modes.T / (modes.shape[1] / 3)
    between = identity @ gram @ identity.T
    own = jnp.diagonal(between)
    return jnp.maximum(own[:, None] + own[None] - 2 * between, 0)


def identity_energies(
    distances: Float[Array, "n n"], person: Int[Array, "n"], applies: Float[Array, "n"]
) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
    """The loss of each photo, 0 where a person has no other photo, and 1 where there is one.

    Args:
      distances: squared, mm².
      person: numbers.
      applies: 1 where a row shows a face.
    """
    others, same = pairs_of(person, applies)
    nearness = -distances / TEMPERATURE
    to_same = jax.nn.logsumexp(jnp.where(same > 0, nearness, _NEVER), axis=1)
    to_others = jax.nn.logsumexp(jnp.where(others > 0, nearness, _NEVER), axis=1)
    counted = (same.sum(axis=1) > 0).astype(distances.dtype)
    return counted * (to_others - to_same), counted


def pairs_of(person: Int[Array, "n"], applies: Float[Array, "n"]) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    """1 for each pair of different rows that show faces, and 1 for those of them that show one person; else 0."""
    others = applies[:, None] * applies[None] * (1 - jnp.eye(len(person)))
    return others, others * (person[:, None] == person[None])
