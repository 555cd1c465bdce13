"""Bilinear samples of an image, with their derivatives with respect to position written out."""

import itertools

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Float, Int

from fml_jax.ops.arrays import Array


def entries(array: Float[Array, "*shape"], *indices: Int[Array, "*places"]) -> Float[Array, "..."]:
    """An array's entries at indices that lie within it, one array of indices for each of its first axes.

    Told so, JAX traces one gather, and no operations for indices that count from the end or lie outside.
    """
    return jnp.asarray(array).at[indices].get(mode="promise_in_bounds", wrap_negative_indices=False)


@jax.custom_jvp
def sample_bilinear(image: Float[Array, "H W C"], pixels: Float[Array, "N 2"]) -> Float[Array, "N C"]:
    """I(u): the image at real positions (x, y), (0, 0) being the centre of the top-left pixel.

    Positions outside take the nearest edge's colour, with zero gradient. The image is treated as a
    constant: no gradient passes to it.
    """
    return _value_and_slopes(image, pixels)[0]


def sample_bilinear_plain(image: Float[Array, "H W C"], pixels: Float[Array, "N 2"]) -> Float[Array, "N C"]:
    """I(u) by `map_coordinates`, differentiated by JAX; gradients pass to the image, too."""
    rows_and_columns = [pixels[:, 1], pixels[:, 0]]
    sample = jax.vmap(lambda channel: map_coordinates(channel, rows_and_columns, order=1, mode="nearest"), -1, -1)
    return sample(jnp.asarray(image))


@sample_bilinear.defjvp
def _sample_bilinear_jvp(primals, tangents):
    # Written out, because JAX's own derivative of the four gathers takes twice the time.
    value, along_x, along_y = _value_and_slopes(*primals)
    shift = tangents[1]
    return value, along_x * shift[:, :1] + along_y * shift[:, 1:]


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
    upper, upper_right, lower, lower_right = (
        entries(image, *place) for place in itertools.product((top, bottom), (left, right))
    )
    across_upper, across_lower = upper_right - upper, lower_right - lower
    down = lower - upper + u * (across_lower - across_upper)
    across = across_upper + v * (across_lower - across_upper)
    return (
        upper + u * across_upper + v * down,
        jnp.where(inside[:, :1], across, 0.0),
        jnp.where(inside[:, 1:], down, 0.0),
    )
