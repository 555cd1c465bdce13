import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fml_jax.ops.convolution import convolve

# (map, channels, outputs, kernel, stride, padding): both ways of a kernel's gradient, and rests at the border.
SHAPES = [
    (9, 18, 5, 3, 1, "SAME"),
    (9, 18, 5, 1, 1, "SAME"),
    (30, 17, 4, 2, 2, "SAME"),
    (12, 3, 7, 8, 4, "SAME"),
    (23, 3, 6, 11, 4, "VALID"),
    (10, 20, 4, 3, 2, "SAME"),
    (5, 17, 4, 3, 4, "VALID"),  # one row comes out: no halves
    (66, 2, 3, 3, 1, "SAME"),  # large: XLA's own
]


def layer(shape, **own):
    _, _, outputs, kernel, stride, padding = shape
    return nn.Conv(outputs, (kernel, kernel), (stride, stride), padding, **own)


@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_a_plain_convolution(shape):
    x = jax.random.normal(jax.random.key(1), (2, shape[0], shape[0] - 1, shape[1]))
    params = layer(shape).init(jax.random.key(0), x)

    def energy(params, x, own):
        return jnp.sum(jnp.sin(layer(shape, **own).apply(params, x)))

    def value_and_gradients(**own):
        return jax.jit(jax.value_and_grad(lambda params, x: energy(params, x, own), argnums=(0, 1)))(params, x)

    ours, plain = value_and_gradients(conv_general_dilated=convolve), value_and_gradients()
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "asked",
    [
        {"feature_group_count": 2},
        {"kernel_dilation": 2},
        {"input_dilation": 2},
        {"precision": jax.lax.Precision.HIGHEST},
    ],
)
def test_what_it_does_not_know_is_refused(asked):
    x = jnp.zeros((1, 8, 8, 4))
    with pytest.raises(ValueError, match="convolve does not know"):
        nn.Conv(4, (3, 3), conv_general_dilated=convolve, **asked).init(jax.random.key(0), x)


def test_maps_of_other_axes_are_refused():
    with pytest.raises(ValueError, match="not 3 axes"):
        nn.Conv(4, (3,), conv_general_dilated=convolve).init(jax.random.key(0), jnp.zeros((1, 8, 4)))


def test_only_products_take_part_in_a_kernels_gradient_on_cpus():
    """The point of it: no convolution as large as the map."""
    x, cotangent = jnp.zeros((2, 9, 9, 18)), jnp.zeros((2, 9, 9, 5))

    def gradient(kernel):
        return jax.vjp(lambda kernel: convolve(x, kernel, (1, 1), "SAME"), kernel)[1](cotangent)

    with jax.default_device(jax.devices("cpu")[0]):
        text = jax.jit(gradient).lower(jnp.zeros((3, 3, 18, 5))).compile().as_text()
    assert " dot(" in text and "convolution(" not in text


@pytest.mark.parametrize(
    "rows, alone, pieces", [(3, True, 2), (3, False, 1), (1, True, 1)], ids=["alone", "beside another", "one row"]
)
def test_a_convolution_that_is_alone_runs_in_two_halves(rows, alone, pieces):
    def by(x, kernel):
        return convolve(x, kernel, (1, 1), "SAME", alone=alone)

    with jax.default_device(jax.devices("cpu")[0]):
        text = jax.jit(by).lower(jnp.zeros((1, 9, 9, 18)), jnp.zeros((rows, rows, 18, 5))).as_text()
    assert text.count("stablehlo.convolution") == pieces


def test_three_channels_are_packed_by_strides():
    """The stem's convolution has no stride along a row, and as many times the channels."""

    def by(x, kernel):
        return convolve(x, kernel, (4, 4), "SAME", alone=False)

    with jax.default_device(jax.devices("cpu")[0]):
        text = jax.jit(by).lower(jnp.zeros((1, 24, 24, 3)), jnp.zeros((8, 8, 3, 5))).as_text()
    assert "stride = [4, 1]" in text and "8x2x12x5" in text
