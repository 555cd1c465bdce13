"""Convolutions in forms that take CPUs less time.

Three tricks, all of them for XLA's CPU backend, and none of which changes the result:

1. A convolution of a small map hardly gains from a second core, but XLA runs independent operations in parallel. So a
   map is convolved in two halves.
2. A convolution of three channels uses only a part of a CPU's vector registers. So a strided convolution packs the
   pixels within one stride into channels of one pixel.
3. XLA computes the gradient of a kernel as a convolution whose kernel is as large as the map, which is up to eight
   times slower than the equivalent matrix products. So it is computed as matrix products.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from fml_jax.ops.arrays import Array

_LAYOUT = ("NHWC", "HWIO", "NHWC")

# With fewer channels than this, one kernel position makes too narrow a product: in gradients the positions of a kernel
# row share one product, and in a strided convolution the pixels within a stride are packed into one.
_NARROW = 16

# A kernel with fewer rows than this takes less time than the division into halves.
_WORTH_DIVIDING = 3

# Maps of more pixels than this are left to XLA: the copies would take gigabytes (VGG-16's first layers).
_LARGE = 64 * 64


def convolve(
    x: Float[Array, "B H W I"],
    kernel: Float[Array, "h w I O"],
    strides: Sequence[int],
    padding: str,
    *,
    alone: bool = True,
    **others: Any,
) -> Float[Array, "B H2 W2 O"]:
    """A convolution of maps, for `nn.Conv(conv_general_dilated=…)`; it supports reverse-mode differentiation only.

    Args:
      strides: of rows and columns.
      padding: "SAME" or "VALID".
      alone: whether no other operation uses the remaining cores meanwhile, so that halves are worthwhile.
      others: further arguments of `jax.lax.conv_general_dilated` that Flax passes. Dilation, groups and precision
        must have their default values.

    Raises:
      ValueError: one of these differs from its default.
    """
    defaults = {"lhs_dilation": (1, 1), "rhs_dilation": (1, 1), "feature_group_count": 1, "precision": None}
    if unsupported := [name for name, value in defaults.items() if _as_tuple(others.get(name, value)) != value]:
        raise ValueError(f"convolve does not support {', '.join(unsupported)}")
    return _convolution(x, kernel, tuple(strides), _pads(x, kernel, strides, padding), alone)


def convolve_plain(
    x: Float[Array, "B H W I"], kernel: Float[Array, "h w I O"], strides: Sequence[int], padding: str
) -> Float[Array, "B H2 W2 O"]:
    """The same convolution by `jax.lax.conv_general_dilated`."""
    return _plain(x, kernel, tuple(strides), _pads(x, kernel, strides, padding))


def _as_tuple(value):
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _pads(x, kernel, strides, padding):
    return tuple(map(tuple, jax.lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding)))


def _plain(x, kernel, strides, pads):
    # The backend's own precision, whatever JAX's default is: GPUs then use their matrix units, which suits networks.
    precision = jax.lax.Precision.DEFAULT
    return jax.lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=_LAYOUT, precision=precision)


def _by_platform(x, kernel, strides, pads, alone):
    small = x.shape[1] * x.shape[2] <= _LARGE * strides[0] * strides[1]
    on_cpu = _in_halves if alone and small and kernel.shape[0] >= _WORTH_DIVIDING else _packed_or_plain
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: on_cpu(x, kernel, strides, pads),
        default=lambda x, kernel: _plain(x, kernel, strides, pads),
    )


def _in_halves(x, kernel, strides, pads):
    """The convolution as two independent ones, of the upper and the lower half of the output's rows."""
    rows, stride = kernel.shape[0], strides[0]
    x = jnp.pad(x, ((0, 0), pads[0], (0, 0), (0, 0)))
    count = (x.shape[1] - rows) // stride + 1
    if count < 2:
        return _packed_or_plain(x, kernel, strides, ((0, 0), pads[1]))
    halves = ((0, count // 2), (count // 2, count))
    parts = [x[:, begin * stride : (end - 1) * stride + rows] for begin, end in halves]
    return jnp.concatenate([_packed_or_plain(part, kernel, strides, ((0, 0), pads[1])) for part in parts], axis=1)


def _packed_or_plain(x, kernel, strides, pads):
    width = x.shape[2] + sum(pads[1])
    whole_strides = kernel.shape[1] % strides[1] == 0 and width % strides[1] == 0
    if strides[1] > 1 and x.shape[3] < _NARROW and whole_strides:
        return _packed(x, kernel, strides, pads)
    return _plain(x, kernel, strides, pads)


def _packed(x, kernel, strides, pads):
    """The convolution with the pixels of a row that lie within one stride packed into the channels of one pixel.

    They are neighbours in memory, so packing is only a change of shape.
    """
    stride, (batch, *_, channels), (rows, columns, _, outputs) = strides[1], x.shape, kernel.shape
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    x = x.reshape(batch, x.shape[1], x.shape[2] // stride, stride * channels)
    kernel = kernel.reshape(rows, columns // stride, stride * channels, outputs)
    return _plain(x, kernel, (strides[0], 1), ((0, 0), (0, 0)))


_convolution = jax.custom_vjp(_by_platform, nondiff_argnums=(2, 3, 4))


def _forward(x, kernel, strides, pads, alone):
    return _by_platform(x, kernel, strides, pads, alone), (x, kernel)


def _backward(strides, pads, alone, saved, cotangent):
    x, kernel = saved
    (of_x,) = jax.vjp(lambda x: _plain(x, kernel, strides, pads), x)[1](cotangent)

    def by_xla(x, cotangent):
        return jax.vjp(lambda kernel: _plain(x, kernel, strides, pads), kernel)[1](cotangent)[0]

    def by_products(x, cotangent):
        return _kernel_gradient(x, cotangent, kernel.shape, strides, pads)

    large = cotangent.shape[1] * cotangent.shape[2] > _LARGE
    return of_x, jax.lax.platform_dependent(x, cotangent, cpu=by_xla if large else by_products, default=by_xla)


_convolution.defvjp(_forward, _backward)


def _kernel_gradient(x, cotangent, shape, strides, pads):
    """The kernel's gradient: for each kernel position, Σ over crops and pixels of input ⊗ output cotangent."""
    height, width, channels, outputs = shape
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    cotangents = cotangent.reshape(-1, outputs)
    high, wide = (stride * (size - 1) + 1 for stride, size in zip(strides, cotangent.shape[1:3], strict=True))

    def inputs_of(row, column):
        return x[:, row : row + high : strides[0], column : column + wide : strides[1]]

    def product(inputs):
        return inputs.reshape(-1, inputs.shape[-1]).T @ cotangents

    gradients = []
    for row in range(height):
        inputs = [inputs_of(row, column) for column in range(width)]
        if channels < _NARROW:
            inputs = [jnp.concatenate(inputs, axis=-1)]
        gradients += map(product, inputs)
    return jnp.concatenate(gradients).reshape(shape)
