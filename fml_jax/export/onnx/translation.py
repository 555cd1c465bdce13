"""A traced function as ONNX: its equations one by one; what depends on no input is computed by JAX and stored."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import onnx

from fml_jax.errors import InputError
from fml_jax.export.onnx.graph import Graph, Value, known
from fml_jax.export.onnx.operations import RULES

# Operations that contain a function of the same inputs, and the parameter that holds it.
_CALLS = {
    "jit": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "checkpoint": "jaxpr",
}
_BATCH = "batch"


def as_onnx(
    function: Callable[..., dict[str, jax.Array]],
    inputs: Mapping[str, tuple[int, ...]],
    *,
    note: Callable[[], object] = lambda: None,
) -> onnx.ModelProto:
    """An ONNX model of a function of one sample, for any number of samples: inputs and outputs have a leading axis.

    Samples are computed one after the other.

    Args:
      function: takes float arrays by position and returns float arrays by name.
      inputs: the arrays' names and shapes.
      note: called for each operation.

    Raises:
      InputError: the function has an operation that is not translated.
    """
    arguments = [jax.ShapeDtypeStruct(shape, np.float32) for shape in inputs.values()]
    traced, results = jax.make_jaxpr(function, return_shape=True)(*arguments)
    graph = Graph()

    def sample(inner: Graph, of_sample: list[str]) -> list[Value]:
        return _Translation(inner, note).evaluated(traced.jaxpr, [known(each) for each in traced.consts], of_sample)

    body = graph.body(sample, [(np.float32, shape) for shape in inputs.values()])
    outputs = sorted(results)  # the order of a tree's leaves
    graph.nodes.append(onnx.helper.make_node("Scan", list(inputs), outputs, num_scan_inputs=len(inputs), body=body))
    return graph.model(
        [(name, [_BATCH, *shape]) for name, shape in inputs.items()],
        [(name, [_BATCH, *results[name].shape]) for name in outputs],
    )


class _Translation:
    """Adds the nodes of equations to a graph."""

    def __init__(self, graph: Graph, note: Callable[[], object]) -> None:
        self._graph, self._note = graph, note

    def evaluated(self, jaxpr: Any, constants: Sequence[Value], arguments: Sequence[Value]) -> list[Value]:
        """The outputs of a jaxpr for some inputs."""
        values: dict[Any, Value] = {}
        values.update(zip(jaxpr.constvars, constants, strict=True))
        values.update(zip(jaxpr.invars, arguments, strict=True))

        def value(var: Any) -> Value:
            return known(var.val) if hasattr(var, "val") else values[var]

        for equation in jaxpr.eqns:
            outputs = self._translated(equation, [value(var) for var in equation.invars])
            values.update(zip(equation.outvars, outputs, strict=True))
        return [value(var) for var in jaxpr.outvars]

    def _translated(self, equation: Any, inputs: list[Value]) -> list[Value]:
        name, params = equation.primitive.name, equation.params
        self._note()
        if name in _CALLS:
            return self._inlined(params[_CALLS[name]], inputs)
        if name == "platform_index":  # chooses a fast form of an operation; the last one is the plain one
            return [np.array(len(params["platforms"]) - 1)]
        if name == "cond" and isinstance(inputs[0], np.ndarray):
            return self._inlined(params["branches"][int(inputs[0])], inputs[1:])
        if name == "scan":
            return self._unrolled(equation, inputs)
        if name == "custom_linear_solve":
            return self._solved(equation, inputs)
        if all(isinstance(each, np.ndarray) for each in inputs):
            return _computed(equation, inputs)
        if name not in RULES:
            raise InputError(f"the operation {name} cannot be written as ONNX; leave out what uses it")
        found = RULES[name](self._graph, inputs, equation)
        return found if isinstance(found, list) else [found]

    def _inlined(self, closed: Any, inputs: Sequence[Value]) -> list[Value]:
        return self.evaluated(closed.jaxpr, [known(each) for each in closed.consts], inputs)

    def _unrolled(self, equation: Any, inputs: list[Value]) -> list[Value]:
        """A loop of a fixed length that only hands on its state."""
        params = equation.params
        constants, states = params["num_consts"], params["num_carry"]
        if len(inputs) > constants + states or len(equation.outvars) > states:
            raise InputError("a loop over arrays cannot be written as ONNX; leave out what uses it")
        state = inputs[constants:]
        for _ in range(params["length"]):
            state = self._inlined(params["jaxpr"], [*inputs[:constants], *state])
        return state

    def _solved(self, equation: Any, inputs: list[Value]) -> list[Value]:
        """A linear system: by its solver, whose constants are among the inputs."""
        lengths = equation.params["const_lengths"]
        begin = lengths.matvec + lengths.vecmat
        constants, right = inputs[begin : begin + lengths.solve], inputs[sum(lengths) :]
        return self._inlined(equation.params["jaxprs"].solve, [*constants, *right])


def _computed(equation: Any, inputs: list[np.ndarray]) -> list[Value]:
    """The outputs of an equation whose inputs are known."""
    arrays = [each.astype(var.aval.dtype) for each, var in zip(inputs, equation.invars, strict=True)]
    found = equation.primitive.bind(*arrays, **equation.params)
    return [known(each) for each in (found if equation.primitive.multiple_results else [found])]
