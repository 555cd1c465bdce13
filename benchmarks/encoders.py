"""How fast the encoders are on this machine, and how far from what its matrix product reaches.

    python -m benchmarks.encoders [--encoders=light,alexnet] [--training_batch=64]

Prints one row an encoder: forward time of one crop and per crop of 32, training throughput
(forward and backward of a plain squared loss) and the share of the speed that a large float32
matrix product reaches at the same moment: medians of rounds in which each encoder runs once.
Ratios are to AlexNet's row when it is there. All encoders are held in memory together.
"""

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks.timing import in_turn
from fml_jax.codes import CodeSizes
from fml_jax.networks.encoders import make_encoder

_ENCODERS = flags.DEFINE_list("encoders", ["light", "alexnet", "vggface"], "Encoders to time.")
_TRAINING_BATCH = flags.DEFINE_integer("training_batch", 64, "Crops in a training step (8 at most for VGG-Face).", 1)
_REPEATS = flags.DEFINE_integer(
    "repeats", 5, "Rounds of training; of the forward of 32 twice, of one crop ten times as many.", 1
)

_CODE_SIZE = CodeSizes(80, 64, 80).total  # the paper's
_VGG_BATCH = 8  # more does not fit into a small machine's memory
_PRODUCT = 2048  # rows and columns of the matrix whose product is the yardstick
_PRODUCTS = 8  # of them in a round: the first finds other data in the caches


class Timed:
    """An encoder with random parameters, its forward and its gradient compiled."""

    def __init__(self, name: str):
        encoder = make_encoder(name, _CODE_SIZE)
        self.params = jax.jit(encoder.init)(jax.random.key(0), jnp.zeros((1, 240, 240, 3)))["params"]
        self.forward = jax.jit(lambda params, crops: encoder.apply({"params": params}, crops))
        self.batch = min(_TRAINING_BATCH.value, _VGG_BATCH) if name == "vggface" else _TRAINING_BATCH.value
        gradient = jax.jit(jax.grad(lambda params, crops: _loss(encoder, params, crops)))
        self.step = gradient.lower(self.params, _crops(self.batch)).compile()


def main(_):
    encoders = {name: Timed(name) for name in _ENCODERS.value}
    one = _forwards(encoders, 1, 10 * _REPEATS.value)
    of_32 = _forwards(encoders, 32, 2 * _REPEATS.value)
    matrix = jnp.ones((_PRODUCT, _PRODUCT))
    product = jax.jit(jnp.matmul)
    steps = {name: _call(each.step, each.params, _crops(each.batch)) for name, each in encoders.items()}
    training = in_turn(
        {"product": lambda: [product(matrix, matrix) for _ in range(_PRODUCTS)], **steps}, _REPEATS.value
    )
    speed = _PRODUCTS * 2 * _PRODUCT**3 / training.pop("product")
    print(f"{jax.devices()[0].device_kind}: float32 matrix product {speed / 1e9:.0f} GFLOP/s")
    rows = {
        name: {
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(each.params)),
            "one": one[name],
            "of_32": of_32[name] / 32,
            "training": training[name] / each.batch,
            "share": each.step.cost_analysis()["flops"] / training[name] / speed,
        }
        for name, each in encoders.items()
    }
    print(
        f"{'encoder':<8} {'parameters':>10} {'one crop':>18} {'of 32, a crop':>18} {'training':>20} {'of product':>10}"
    )
    for name, row in rows.items():
        print(_format(name, row, rows.get("alexnet")))


def _forwards(encoders, crops, repeats):
    calls = {name: _call(each.forward, each.params, _crops(crops)) for name, each in encoders.items()}
    return in_turn(calls, repeats)


def _call(function, *arguments):
    return lambda: function(*arguments)


def _loss(encoder, params, crops):
    raw, logit = encoder.apply({"params": params}, crops)
    return jnp.mean(raw**2) + jnp.mean(logit**2)


def _crops(number):
    return jnp.asarray(np.random.default_rng(0).random((number, 240, 240, 3), np.float32))


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
    return " ".join([f"{name:<8}", *(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))])


if __name__ == "__main__":
    app.run(main)
