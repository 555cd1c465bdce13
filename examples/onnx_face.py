"""A face from a photo's crop without JAX: NumPy and onnxruntime alone (pip install onnxruntime).

    fml-export --format=onnx --output=network.onnx
    python examples/onnx_face.py network.onnx crop.npy

crop.npy holds crops [batch, 240, 240, 3], RGB in [0, 1], framed as `fml_jax.photos.crops` does.
"""

import sys

import numpy as np
import onnxruntime

network, crops = onnxruntime.InferenceSession(sys.argv[1]), np.load(sys.argv[2]).astype(np.float32)
faces = dict(zip([output.name for output in network.get_outputs()], network.run(None, {"crops": crops}), strict=True))
print(faces["vertices"].shape, faces["scores"])  # [batch, N, 3] mm; whether the crops show faces

decoder = onnxruntime.InferenceSession(sys.argv[1].replace(".onnx", "_decoder.onnx"))
codes = {each.name: faces[each.name].copy() for each in decoder.get_inputs()}
codes["code"][:, :80] = 0  # the mean identity with this face's expression, skin, pose and light
print(decoder.run(["vertices", "colours", "landmarks"], codes)[2][0, 30])  # the nose's tip in the crop, pixels
