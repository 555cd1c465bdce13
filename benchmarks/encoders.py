"""How fast the encoders are on this machine, and how far from what its matrix product reaches.

    python -m benchmarks.encoders [--encoders=light,alexnet] [--training_batch=64]

Prints one row an encoder: forward time of one crop and per crop of 32, training throughput
(forward and backward of a plain squared loss) and the share of the speed that a large float32
matrix product reaches at the same moment. Ratios are to AlexNet's row when it is there.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from fml_jax.encoders import make_encoder

_ENCODERS = flags.DEFINE_list("encoders", ["light", "alexnet", "vggface"], "Encoders to time.")
_TRAINING_BATCH = flags.DEFINE_integer("training_batch", 64, "Crops in a training step (8 at most for VGG-Face).", 1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Runs of each, of which the fastest counts.", 1)

_VGG_BATCH = 8  # more does not fit into a small machine's memory


def main(_):
    product = _matrix_product_speed(_REPEATS.value)
    print(f"{jax.devices()[0].device_kind}: float32 matrix product {product / 1e9:.0f} GFLOP/s")
    rows = {name: _measure(name, product) for name in _ENCODERS.value}
    print(
        f"{'encoder':<8} {'parameters':>10} {'one crop':>18} {'of 32, a crop':>18} {'training':>20} {'of product':>10}"
    )
    for name, row in rows.items():
        print(_format(name, row, rows.get("alexnet")))


def _measure(name, product):
    encoder = make_encoder(name)
    params = jax.jit(encoder.init)(jax.random.key(0), jnp.zeros((1, 240, 240, 3)))["params"]
    forward = jax.jit(lambda params, crops: encoder.apply({"params": params}, crops))
    step = jax.jit(jax.grad(lambda params, crops: _loss(encoder, params, crops)))
    batch = min(_TRAINING_BATCH.value, _VGG_BATCH) if name == "vggface" else _TRAINING_BATCH.value
    training = _seconds(step, params, _crops(batch)) / batch
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "one": _seconds(forward, params, _crops(1)),
        "of_32": _seconds(forward, params, _crops(32)) / 32,
        "training": training,
        "share": _flops(step, params, _crops(batch)) / batch / training / product,
    }


def _loss(encoder, params, crops):
    raw, logit = encoder.apply({"params": params}, crops)
    return jnp.mean(raw**2) + jnp.mean(logit**2)


def _crops(number):
    return jnp.asarray(np.random.default_rng(0).random((number, 240, 240, 3), np.float32))


def _flops(step, *arguments):
    return step.lower(*arguments).compile().cost_analysis()["flops"]


def _matrix_product_speed(repeats, size=2048):
    matrix = jnp.ones((size, size))
    return 2 * size**3 / _seconds(jax.jit(jnp.matmul), matrix, matrix, repeats=4 * repeats)


def _seconds(function, *arguments, repeats=None):
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(repeats or _REPEATS.value):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - start)
    return min(times)


def _format(name, row, alexnet):
    def ratio(key):
        return f"(×{alexnet[key] / row[key]:.1f})" if alexnet else ""

    cells = [
        f"{row['parameters'] / 1e6:.2f} M",
        f"{1e3 * row['one']:.2f} ms {ratio('one'):>7}",
        f"{1e3 * row['of_32']:.2f} ms {ratio('of_32'):>7}",
        f"{1 / row['training']:.1f}/s {ratio('training'):>7}",
        f"{row['share']:.0%}",
    ]
    widths = (10, 18, 18, 20, 10)
    return " ".join([f"{name:<8}", *(f"{cell:>{width}}" for cell, width in zip(cells, widths))])


if __name__ == "__main__":
    app.run(main)
