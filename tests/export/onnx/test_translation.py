"""Functions of JAX as ONNX: onnxruntime computes the same numbers for any number of samples."""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from jax.scipy.linalg import cho_factor, cho_solve

from fml_jax.errors import InputError
from fml_jax.export.onnx.translation import as_onnx
from fml_jax.ops.sampling import sample_bilinear


def spd(x):
    return x.T @ x + 0.5 * jnp.eye(x.shape[1])


FUNCTIONS = {
    "sums and products": lambda x: jnp.einsum("ij,ik->jk", x, x) / (1 + jnp.abs(x).max()) - x.sum(),
    "functions of numbers": lambda x: jnp.tanh(x) + jnp.exp(x) * jnp.sin(x) ** 3 + jax.nn.sigmoid(x) + jax.nn.relu(x),
    "angles": lambda x: jnp.arctan2(x, x[::-1, ::-1] - 0.1),
    "parts": lambda x: jnp.concatenate([x[1:4:2], jnp.pad(x, 1)[:2, 1:-1], jnp.stack([x[0], x[2]])]),
    "choices": lambda x: jnp.where(x > 0.2, x, jnp.clip(x, -0.5, 0.1)) + jnp.round(3 * x),
    "gathers": lambda x: x[jnp.array([[0, 4], [2, 2]]), 1:3] + x[jnp.argsort(jnp.arange(3.0))[1], 0],
    "places that depend on the input": lambda x: jax.lax.dynamic_slice(
        x, (jnp.int32(9 * x[0, 0]), jnp.int32(x[1, 1] - 4)), (2, 2)
    ),
    "scatters": lambda x: x.at[jnp.array([3, 1])].add(x[:2]).at[:, 2].set(7.0),
    "bilinear samples": lambda x: sample_bilinear(jnp.stack([x, x**2], -1), 2 * jnp.abs(x[:, :2])),
    "a Cholesky factor": lambda x: jnp.linalg.cholesky(spd(x)),
    "a linear system": lambda x: jax.scipy.linalg.solve(spd(x), x[1], assume_a="pos"),
    "many linear systems": lambda x: jax.vmap(lambda s: cho_solve(cho_factor(s * spd(x)), x[:2].T))(jnp.ones(3)),
    "a loop": lambda x: jax.lax.scan(lambda s, _: (0.5 * s + x, None), x, length=3)[0],
    "a search": lambda x: jnp.searchsorted(jnp.arange(-3.0, 3), x[0]).astype(float),
    "a sort": lambda x: jnp.sort(x, axis=0) + jnp.sort(x[:, ::-1], axis=1),
    "a convolution": lambda x: jax.lax.conv_general_dilated(
        x[None, :, :, None],
        np.random.default_rng(1).normal(size=(3, 2, 1, 4)).astype(np.float32),
        (2, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    ),
}  # fmt: skip


def run(model, **inputs):
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, inputs), strict=True))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_onnxruntime_computes_what_jax_does(name):
    samples = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    model = as_onnx(lambda x: {"y": FUNCTIONS[name](x)}, {"x": (5, 4)})
    expected = jax.jit(jax.vmap(FUNCTIONS[name]))(samples)
    for count in (1, 3):  # any number of samples
        found = run(model, x=samples[:count])["y"]
        np.testing.assert_allclose(found, expected[:count], rtol=2e-5, atol=2e-5)


def test_several_inputs_and_outputs_keep_their_names():
    model = as_onnx(lambda a, b: {"sum": a + b, "first": a}, {"a": (2,), "b": (2,)})
    found = run(model, a=np.ones((1, 2), np.float32), b=np.full((1, 2), 2, np.float32))
    assert (found["sum"] == 3).all() and (found["first"] == 1).all()


def test_what_cannot_be_translated_is_named():
    with pytest.raises(InputError, match="cumsum"):
        as_onnx(lambda x: {"y": jnp.cumsum(x)}, {"x": (4,)})
