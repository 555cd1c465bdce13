"""The time of the exported network in onnxruntime beside that of JAX, for one crop.

    fml-export --format=onnx --output=out/network.onnx
    python -m benchmarks.onnx_network --network=out/network.onnx [--repeats=20]

Both compute the same outputs on the CPU; medians of rounds in which each runs once. The largest differences of vertices
and reflectance are printed as well. The crop is noise: its face has no meaning, and the same operations.
"""

import jax
import numpy as np
import onnxruntime
from absl import app, flags

import fml_jax
from benchmarks.timing import in_turn
from fml_jax.export.onnx.models import network_function

_NETWORK = flags.DEFINE_string("network", None, "The file that fml-export wrote.", required=True)
_REPEATS = flags.DEFINE_integer("repeats", 20, "Rounds, after one that is not counted.", lower_bound=3)


def main(_):
    crop = np.random.default_rng(0).random((240, 240, 3), np.float32)
    session = onnxruntime.InferenceSession(_NETWORK.value)
    function = jax.jit(network_function(fml_jax.load_network(), fml_jax.load_face_model()))
    times = in_turn(
        {"onnxruntime": lambda: session.run(None, {"crops": crop[None]}), "JAX": lambda: function(crop)},
        _REPEATS.value,
    )
    for name, seconds in times.items():
        print(f"{name:12}{1000 * seconds:8.1f} ms   {seconds / times['JAX']:5.2f} of JAX")
    names = ["vertices", "reflectance"]
    for name, found in zip(names, session.run(names, {"crops": crop[None]}), strict=True):
        print(f"{name:12}{np.abs(found[0] - function(crop)[name]).max():10.6f} at most apart")


if __name__ == "__main__":
    app.run(main)
