"""Convolutions that take CPUs less time: in two halves, strided stems by strides, kernels' gradients as products.

XLA's CPU backend gives two cores hardly a quarter more speed for a convolution of a small map than one, but runs
operations at once that do not wait for each other. A convolution of three channels leaves most of a CPU's vector
registers empty. And XLA writes the gradient of a kernel as a convolution in which the batch stands for the channels and
the whole map for the kernel; on CPUs that is up to eight times slower than the matrix products it amounts to.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Float

from fml_jax.ops.arrays import Array

_LAYOUT = ("NHWC", "HWIO", "NHWC")

# With fewer channels than this, one place of the kernel is too thin: in gradients a row of places shares a product, and
# of a strided convolution the places within a stride become one.
_THIN = 16

# Kernels of fewer rows than this are done as soon as they are divided.
_WORTH_DIVIDING = 3

# Maps of more places than this are left to XLA: copies of them would take gigabytes (VGG-16's first layers).
_LARGE = 64 * 64


def convolve(
    x: Float[Array, "B H W I"],
    kernel: Float[Array, "h w I O"],
    strides: Sequence[int],
    padding: str,
    alone: bool = True,
    **others,
) -> Float[Array, "B H2 W2 O"]:
    """A convolution of maps, for `nn.Conv(conv_general_dilated=…)`; differentiable backward only.

    Args:
      padding: "SAME" or "VALID".
      alone: whether nothing else keeps the other cores busy while it runs, so that it is worth dividing.
      others: what `jax.lax.conv_general_dilated` has besides, where Flax says it: no dilation, no groups, no precision.

    Raises:
      ValueError: one of these is asked for, or other maps than [B, H, W, C].
    """
    if x.ndim != 4:
        raise ValueError(f"convolve knows maps [B, H, W, C], not {x.ndim} axes")
    plain = {"lhs_dilation": (1, 1), "rhs_dilation": (1, 1), "feature_group_count": 1, "precision": None}
    if asked := [name for name, value in plain.items() if _as_given(others.get(name, value)) != value]:
        raise ValueError(f"convolve does not know {', '.join(asked)}")
    pads = jax.lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding)
    return _convolution(x, kernel, tuple(strides), tuple(map(tuple, pads)), alone)


def _as_given(value):
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _plain(x, kernel, strides, pads):
    return jax.lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=_LAYOUT)


def _by_platform(x, kernel, strides, pads, alone):
    small = x.shape[1] * x.shape[2] <= _LARGE * strides[0] * strides[1]
    on_cpu = _divided if alone and small and kernel.shape[0] >= _WORTH_DIVIDING else _quickest
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: on_cpu(x, kernel, strides, pads),
        default=lambda x, kernel: _plain(x, kernel, strides, pads),
    )


def _divided(x, kernel, strides, pads):
    """The convolution in two halves of its rows."""
    rows, stride = kernel.shape[0], strides[0]
    x = jnp.pad(x, ((0, 0), pads[0], (0, 0), (0, 0)))
    count = (x.shape[1] - rows) // stride + 1
    if count < 2:
        return _quickest(x, kernel, strides, ((0, 0), pads[1]))
    halves = ((0, count // 2), (count // 2, count))
    seen = [x[:, begin * stride : (end - 1) * stride + rows] for begin, end in halves]
    return jnp.concatenate([_quickest(part, kernel, strides, ((0, 0), pads[1])) for part in seen], axis=1)


def _quickest(x, kernel, strides, pads):
    width = x.shape[2] + sum(pads[1])
    whole_strides = kernel.shape[1] % strides[1] == 0 and width % strides[1] == 0
    if strides[1] > 1 and x.shape[3] < _THIN and whole_strides:
        return _by_strides(x, kernel, strides, pads)
    return _plain(x, kernel, strides, pads)


def _by_strides(x, kernel, strides, pads):
    """The convolution with the places of a row that lie within one stride taken for channels of one place.

    They are neighbours in memory, so that nothing has to move.
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
    """Σ over crops and places of (what a place of the kernel saw) ⊗ (what is asked of the output)."""
    height, width, channels, outputs = shape
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    asked = cotangent.reshape(-1, outputs)
    high, wide = (stride * (size - 1) + 1 for stride, size in zip(strides, cotangent.shape[1:3]))

    def seen_by(row, column):
        return x[:, row : row + high : strides[0], column : column + wide : strides[1]]

    def product(seen):
        return seen.reshape(-1, seen.shape[-1]).T @ asked

    rows = []
    for row in range(height):
        seen = [seen_by(row, column) for column in range(width)]
        if channels < _THIN:
            seen = [jnp.concatenate(seen, axis=-1)]
        rows += map(product, seen)
    return jnp.concatenate(rows).reshape(shape)
