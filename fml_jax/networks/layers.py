"""Layers that several networks share."""

import functools

from flax import linen as nn
from jaxtyping import Float

from fml_jax.ops.arrays import Array
from fml_jax.ops.convolution import convolve

# A convolution that starts with He's variance.
Conv = functools.partial(nn.Conv, kernel_init=nn.initializers.he_normal(), conv_general_dilated=convolve)


def doubled(x: Float[Array, "B H W C"]) -> Float[Array, "B 2*H 2*W C//4"]:
    """A map of twice the size: four channels become a square of four places."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, 2, 2, channels // 4)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, channels // 4)
