"""Losses of predicted skin tones (not in the paper): on renders they are known, on photos those of a person agree."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from fml_jax.losses.identity import pairs_of
from fml_jax.ops.arrays import Array

_SPREAD = 0.15  # RGB: the unit of differences, about the spread of tones over people
_EXPOSURES = 0.3  # standard deviation of the logarithm of a random exposure
_DARKEST, _BRIGHTEST = 0.3, 1.6  # exposures


class ToneWeights(NamedTuple):
    """Weights of the losses of skin tones, in units of their spread over people."""

    known: float = 0.0  # squared error, on renders
    agreement: float = 0.0  # distance between photos of one person, squared where it is small


def exposed(colours: Float[Array, "B S 3"], key: jax.Array) -> Float[Array, "B S 3"]:
    """Colours of photos that are taken again with a random exposure each, clipped at white."""
    factors = jnp.exp(_EXPOSURES * jax.random.normal(key, (len(colours), 1, 1)))
    return jnp.minimum(colours * jnp.clip(factors, _DARKEST, _BRIGHTEST), 1)


def known_tone_energy(tone: Float[Array, "3"], true: Float[Array, "3"]) -> Float[Array, ""]:
    """The mean squared error of a skin tone, RGB, in units of the spread of tones."""
    return jnp.mean(((tone - true) / _SPREAD) ** 2)


def tone_agreement_energies(
    tones: Float[Array, "n 3"], person: Int[Array, "n"], applies: Float[Array, "n"]
) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
    """The mean distance of each photo's tone from those of its person's others, and 1 where there are any, else 0.

    Pseudo-Huber distances: one of two photos may be under coloured light.

    Args:
      person: numbers.
      applies: 1 where a row shows a face.
    """
    _, same = pairs_of(person, applies)
    gaps = (tones[:, None] - tones[None]) / _SPREAD
    distances = 2 * jnp.mean(jnp.sqrt(1 + gaps**2) - 1, axis=-1)
    count = same.sum(axis=1)
    return (same * distances).sum(axis=1) / jnp.maximum(count, 1), (count > 0).astype(tones.dtype)
