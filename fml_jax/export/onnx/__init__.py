"""Networks and face models as ONNX files: JAX's traced functions, translated operation by operation."""
