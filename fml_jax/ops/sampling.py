"""Bilinear samples of an image, with their derivatives by position written out."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from fml_jax.ops.arrays import Array


@jax.custom_jvp
def sample_bilinear(image: Float[Array, "H W C"], pixels: Float[Array, "N 2"]) -> Float[Array, "N C"]:
    """I(u): the image at real positions, (0, 0) being the centre of the top-left pixel.

    Positions outside take the nearest edge's colour and have no gradient there. The image is a constant:
    no gradient passes to it.
    """
    return _value_and_slopes(image, pixels)[0]


@sample_bilinear.defjvp
def _sample_bilinear_jvp(primals, tangents):
    # Written out: what JAX would make of the four gathers takes twice the time.
    value, along_x, along_y = _value_and_slopes(*primals)
    moved = tangents[1]
    return value, along_x * moved[:, :1] + along_y * moved[:, 1:]


def _value_and_slopes(image, pixels):
    """I(u), dI/dx and dI/dy, [N, C] each."""
    height, width = image.shape[:2]
    last = jnp.array([width - 1, height - 1], pixels.dtype)
    inside = (pixels >= 0) & (pixels <= last)
    x, y = jnp.clip(pixels, 0, last).T
    left = jnp.clip(jnp.floor(x).astype(jnp.int32), 0, max(width - 2, 0))
    top = jnp.clip(jnp.floor(y).astype(jnp.int32), 0, max(height - 2, 0))
    right, bottom = jnp.minimum(left + 1, width - 1), jnp.minimum(top + 1, height - 1)
    u, v = (x - left)[:, None], (y - top)[:, None]
    upper, across_upper = image[top, left], image[top, right] - image[top, left]
    lower, across_lower = image[bottom, left], image[bottom, right] - image[bottom, left]
    down = lower - upper + u * (across_lower - across_upper)
    across = across_upper + v * (across_lower - across_upper)
    return (
        upper + u * across_upper + v * down,
        jnp.where(inside[:, :1], across, 0.0),
        jnp.where(inside[:, 1:], down, 0.0),
    )
