"""An ONNX graph while it is built. Integers of all kinds are int64 in it, since ONNX knows few operations on others."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
Value = Any  # a NumPy array, for what is known, or the name of a tensor
_KINDS = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.int64): TensorProto.INT64,
    np.dtype(bool): TensorProto.BOOL,
}


def known(array: Any) -> np.ndarray:
    """An array of one of the three kinds that graphs have."""
    array = np.asarray(array)
    kinds = {"f": np.float32, "i": np.int64, "u": np.int64, "b": np.bool_}
    return np.ascontiguousarray(array, kinds[array.dtype.kind]).reshape(array.shape)


class Graph:
    """Nodes and constants. Graphs of loops' bodies share the constants and names of the graph around them."""

    def __init__(self, around: "Graph | None" = None) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._shared: dict[str, Any] = {"count": 0, "constants": {}, "arrays": []} if around is None else around._shared

    def add(self, kind: str, *inputs: Value, outputs: int = 1, **attributes: Any) -> Any:
        """Adds a node; returns its output's name, or a list of names where it has several."""
        names = [self.fresh() for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, [self.name(each) for each in inputs], names, **attributes))
        return names[0] if outputs == 1 else names

    def fresh(self) -> str:
        """A name that nothing has."""
        self._shared["count"] += 1
        return f"t{self._shared['count']}"

    def name(self, value: Value) -> str:
        """The name of a value; a known array becomes a constant of the file, once."""
        if isinstance(value, str):
            return value
        array = known(value)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._shared["constants"]:
            self._shared["constants"][key] = self.fresh()
            self._shared["arrays"].append(numpy_helper.from_array(array, self._shared["constants"][key]))
        return self._shared["constants"][key]

    def body(self, build: Callable[["Graph", list[str]], Sequence[Value]], inputs: Sequence[Any]) -> onnx.GraphProto:
        """The graph of a loop's body.

        Args:
          build: adds its nodes to a graph and returns the outputs, given the names of the inputs.
          inputs: the type of each input, with its shape; None for any.
        """
        inner = Graph(self)
        infos = [_info(self.fresh(), kind, shape) for kind, shape in inputs]
        results = [inner.add("Identity", each) for each in build(inner, [info.name for info in infos])]
        return helper.make_graph(inner.nodes, "body", infos, [onnx.ValueInfoProto(name=each) for each in results])

    def model(self, inputs: Sequence[tuple[str, Any]], outputs: Sequence[tuple[str, Any]]) -> onnx.ModelProto:
        """The whole file; inputs and outputs are float tensors by name, with their shapes (text for a free axis)."""
        graph = helper.make_graph(
            self.nodes,
            "fml_jax",
            [_info(name, np.float32, shape) for name, shape in inputs],
            [_info(name, np.float32, shape) for name, shape in outputs],
            self._shared["arrays"],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


def _info(name: str, kind: Any, shape: Any) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _KINDS[np.dtype(kind)], shape)
