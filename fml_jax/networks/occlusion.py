"""Occlusion: which pixels of a crop show its face, and which an object in front of it."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from fml_jax.networks.layers import Conv, doubled
from fml_jax.ops.arrays import Array
from fml_jax.ops.products import Dense
from fml_jax.photos.occlusion_classes import OCCLUDER

CLASSES = 3  # those of `photos.occlusion_classes`


class OcclusionHead(nn.Module):
    """The logits of three classes a place, from an encoder's maps and, for fine edges, from the picture itself."""

    width: int = 48  # channels in which the maps are joined
    fine: int = 24  # channels at the head's own resolution

    @nn.compact
    def __call__(self, picture: Float[Array, "B 120 120 3"], maps: Sequence[Array]) -> Float[Array, "B 60 60 3"]:
        """
        Args:
          picture: the encoder's input.
          maps: the encoder's maps of 30, 15 and 8 places a side.
        """
        whole = Dense(self.width, name="whole")(maps[2].mean(axis=(1, 2)))[:, None, None]
        joined = Conv(self.width, (1, 1), name="of_30")(maps[0]) + whole
        joined = nn.relu(joined + doubled(Conv(4 * self.width, (1, 1), name="of_15")(maps[1])))
        edges = Conv(self.fine, (4, 4), (2, 2), name="edges")(picture)
        x = nn.relu(edges + doubled(Conv(4 * self.fine, (1, 1), name="up")(joined)))
        x = nn.relu(x + Conv(self.fine, (3, 3), name="smooth")(x))
        return Conv(CLASSES, (1, 1), name="classes")(x)


def unoccluded(logits: Float[Array, "B 60 60 3"]) -> Float[Array, "B 60 60"]:
    """The probability of each place that no occluder hides the face there."""
    return 1 - jax.nn.softmax(logits, axis=-1)[..., OCCLUDER]


def label_energy(logits: Float[Array, "60 60 3"], weights: Float[Array, "60 60 3"]) -> Float[Array, ""]:
    """The cross-entropy of one crop's predicted classes, mean over its known places.

    Args:
      weights: of each class at each place; all 0 where the class is unknown.
    """
    return -jnp.sum(weights * jax.nn.log_softmax(logits, axis=-1)) / jnp.maximum(jnp.sum(weights), 1.0)
