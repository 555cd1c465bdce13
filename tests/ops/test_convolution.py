import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fml_jax.ops.convolution import convolve, convolve_plain

# (map, channels, outputs, kernel, stride, padding): both forms of a kernel's gradient, and maps not divided evenly.
SHAPES = [
    (9, 18, 5, 3, 1, "SAME"),
    (9, 18, 5, 1, 1, "SAME"),
    (30, 17, 4, 2, 2, "SAME"),
    (12, 3, 7, 8, 4, "SAME"),
    (23, 3, 6, 11, 4, "VALID"),
    (10, 20, 4, 3, 2, "SAME"),
    (5, 17, 4, 3, 4, "VALID"),  # one output row, which has no halves
    (66, 2, 3, 3, 1, "SAME"),  # large: left to XLA
]


@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_the_plain_convolution(shape):
    side, channels, outputs, size, stride, padding = shape
    x = jax.random.normal(jax.random.key(1), (2, side, side - 1, channels))
    kernel = jax.random.normal(jax.random.key(0), (size, size, channels, outputs))
    kernel /= jnp.sqrt(size**2 * channels)

    def value_and_gradients(form):
        def energy(x, kernel):
            return jnp.sum(jnp.sin(form(x, kernel, (stride, stride), padding)))

        return jax.jit(jax.value_and_grad(energy, argnums=(0, 1)))(x, kernel)

    for found, expected in zip(
        *map(jax.tree.leaves, map(value_and_gradients, (convolve, convolve_plain))), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_flax_computes_its_layer_with_it():
    """The arguments that Flax passes are the ones that `convolve` takes."""
    x = jax.random.normal(jax.random.key(1), (2, 9, 8, 4))
    mine, plain = (nn.Conv(5, (3, 3), (2, 2), **own) for own in ({"conv_general_dilated": convolve}, {}))
    params = plain.init(jax.random.key(0), x)
    np.testing.assert_allclose(mine.apply(params, x), plain.apply(params, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        {"feature_group_count": 2},
        {"kernel_dilation": 2},
        {"input_dilation": 2},
        {"precision": jax.lax.Precision.HIGHEST},
    ],
)
def test_unsupported_arguments_are_refused(unchecked, arguments):
    x = jnp.zeros((1, 8, 8, 4))
    with pytest.raises(ValueError, match="convolve does not support"):
        nn.Conv(4, (3, 3), conv_general_dilated=convolve, **arguments).init(jax.random.key(0), x)


def test_a_kernels_gradient_consists_of_products_on_cpus():
    """No convolution whose kernel is as large as the map remains."""
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
    def one(x, kernel):
        return convolve(x, kernel, (1, 1), "SAME", alone=alone)

    with jax.default_device(jax.devices("cpu")[0]):
        text = jax.jit(one).lower(jnp.zeros((1, 9, 9, 18)), jnp.zeros((rows, rows, 18, 5))).as_text()
    assert text.count("stablehlo.convolution") == pieces


def test_three_channels_are_packed_by_strides():
    """The compiled convolution has no stride along a row, and four times the channels."""

    def one(x, kernel):
        return convolve(x, kernel, (4, 4), "SAME", alone=False)

    with jax.default_device(jax.devices("cpu")[0]):
        text = jax.jit(one).lower(jnp.zeros((1, 24, 24, 3)), jnp.zeros((8, 8, 3, 5))).as_text()
    assert "stride = [4, 1]" in text and "8x2x12x5" in text
