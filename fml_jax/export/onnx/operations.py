"""JAX's primitive operations in ONNX's. Each rule takes the graph, the inputs and the traced equation."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fml_jax.export.onnx.graph import Graph, Value
from fml_jax.export.onnx.indexing import gather, scatter
from fml_jax.export.onnx.solvers import cholesky, triangular_solve

Rule = Callable[[Graph, list[Value], Any], Any]
_CASTS = {"f": 1, "i": 7, "u": 7, "b": 9}  # ONNX's numbers of float, int64 and bool


def _plain(kind: str) -> Rule:
    return lambda graph, inputs, equation: graph.add(kind, *inputs)


def _reduced(kind: str) -> Rule:
    return lambda graph, inputs, equation: graph.add(kind, *inputs, np.array(equation.params["axes"]), keepdims=0)


def _reshape(graph, inputs, equation):
    return graph.add("Reshape", inputs[0], np.array(_shape(equation), np.int64))


def _broadcast(graph, inputs, equation):
    shape, placed = _shape(equation), equation.params["broadcast_dimensions"]
    sides = [1] * len(shape)
    for own, axis in enumerate(placed):
        sides[axis] = equation.invars[0].aval.shape[own]
    widened = graph.add("Reshape", inputs[0], np.array(sides, np.int64))
    return widened if tuple(sides) == shape else graph.add("Expand", widened, np.array(shape, np.int64))


def _slice(graph, inputs, equation):
    params = equation.params
    axes = np.arange(len(params["start_indices"]))
    strides = np.array(params["strides"] or [1] * len(axes))
    return graph.add(
        "Slice", inputs[0], np.array(params["start_indices"]), np.array(params["limit_indices"]), axes, strides
    )


def _dynamic_slice(graph, inputs, equation):
    sizes = np.array(_shape(equation), np.int64)
    starts = graph.add("Concat", *(graph.add("Reshape", each, np.array([1])) for each in inputs[1:]), axis=0)
    latest = np.array(equation.invars[0].aval.shape) - sizes
    starts = graph.add("Max", graph.add("Min", starts, latest), np.array(0))
    return graph.add("Slice", inputs[0], starts, graph.add("Add", starts, sizes), np.arange(len(sizes)))


def _rev(graph, inputs, equation):
    axes = np.array(equation.params["dimensions"])
    return graph.add("Slice", inputs[0], -np.ones_like(axes), np.full_like(axes, -(2**31)), axes, -np.ones_like(axes))


def _pad(graph, inputs, equation):
    low, high, inside = np.array(equation.params["padding_config"]).T
    assert not inside.any(), "padding between elements"
    padded = graph.add("Pad", inputs[0], np.maximum(np.concatenate([low, high]), 0), inputs[1], mode="constant")
    if (low >= 0).all() and (high >= 0).all():
        return padded
    starts = np.maximum(-low, 0)
    return graph.add("Slice", padded, starts, starts + _shape(equation), np.arange(len(low)))


def _concatenate(graph, inputs, equation):
    return graph.add("Concat", *inputs, axis=equation.params["dimension"])


def _stack(graph, inputs, equation):
    axis = equation.params["axis"]
    return graph.add("Concat", *(graph.add("Unsqueeze", each, np.array([axis])) for each in inputs), axis=axis)


def _unstack(graph, inputs, equation):
    axis, count = equation.params["axis"], len(equation.outvars)
    return [graph.add("Gather", inputs[0], np.array(k), axis=axis) for k in range(count)]


def _split(graph, inputs, equation):
    axis, ends = equation.params["axis"], np.cumsum(equation.params["sizes"])
    places = zip(ends - equation.params["sizes"], ends, strict=True)
    return [graph.add("Slice", inputs[0], np.array([a]), np.array([b]), np.array([axis])) for a, b in places]


def _cast(graph, inputs, equation):
    return graph.add("Cast", inputs[0], to=_CASTS[np.dtype(equation.params["new_dtype"]).kind])


def _select(graph, inputs, equation):
    which, *cases = inputs
    assert len(cases) == 2, "a choice among more than two"
    if equation.invars[0].aval.dtype != bool:
        which = graph.add("Cast", which, to=_CASTS["b"])
    return graph.add("Where", which, cases[1], cases[0])


def _power(graph, inputs, equation):
    exponent = equation.params["y"]
    if exponent == 2:
        return graph.add("Mul", inputs[0], inputs[0])
    return graph.add("Pow", inputs[0], np.float32(exponent))


def _inverse_root(graph, inputs, equation):
    return graph.add("Reciprocal", graph.add("Sqrt", inputs[0]))


def _atan2(graph, inputs, equation):
    y, x = inputs
    turned = graph.add("Where", graph.add("Less", y, np.float32(0)), np.float32(-np.pi), np.float32(np.pi))
    behind = graph.add("Where", graph.add("Less", x, np.float32(0)), turned, np.float32(0))
    return graph.add("Add", graph.add("Atan", graph.add("Div", y, x)), behind)


def _different(graph, inputs, equation):
    return graph.add("Not", graph.add("Equal", *inputs))


def _clamp(graph, inputs, equation):
    low, value, high = inputs
    return graph.add("Min", graph.add("Max", value, low), high)


def _sort(graph, inputs, equation):
    axis = equation.params["dimension"]
    assert len(inputs) == 1, "values that are sorted by others"
    count = equation.invars[0].aval.shape[axis]
    ascending, _ = graph.add("TopK", inputs[0], np.array([count]), axis=axis, largest=0, sorted=1, outputs=2)
    return ascending


def _transpose(graph, inputs, equation):
    return graph.add("Transpose", inputs[0], perm=[int(axis) for axis in equation.params["permutation"]])


def _squeeze(graph, inputs, equation):
    return graph.add("Reshape", inputs[0], np.array(_shape(equation), np.int64))


def _dot(graph, inputs, equation):
    (left_sum, right_sum), (left_batch, right_batch) = equation.params["dimension_numbers"]
    shapes = [var.aval.shape for var in equation.invars]
    left_free, right_free = (
        [axis for axis in range(len(shape)) if axis not in (*summed, *batch)]
        for shape, summed, batch in zip(shapes, (left_sum, right_sum), (left_batch, right_batch), strict=True)
    )
    batch = [shapes[0][axis] for axis in left_batch]
    terms = int(np.prod([shapes[0][axis] for axis in left_sum]))
    left = _laid_out(graph, inputs[0], [*left_batch, *left_free, *left_sum], [*batch, -1, terms], shapes[0])
    right = _laid_out(graph, inputs[1], [*right_batch, *right_sum, *right_free], [*batch, terms, -1], shapes[1])
    return graph.add("Reshape", graph.add("MatMul", left, right), np.array(_shape(equation), np.int64))


def _laid_out(graph, value, order, sides, shape):
    """A value with its axes in an order and joined to some sides, one of them -1."""
    whole, rest = int(np.prod(shape)), int(np.prod([side for side in sides if side != -1]))
    sides = [whole // rest if side == -1 else side for side in sides]
    if isinstance(value, np.ndarray):
        return value.transpose(order).reshape(sides)
    return graph.add("Reshape", graph.add("Transpose", value, perm=[int(axis) for axis in order]), np.array(sides))


def _convolution(graph, inputs, equation):
    params = equation.params
    numbers = params["dimension_numbers"]
    assert set(params["lhs_dilation"]) == {1} and params["batch_group_count"] == 1, "a transposed convolution"
    (before, after) = zip(*params["padding"], strict=True)
    convolved = graph.add(
        "Conv",
        graph.add("Transpose", inputs[0], perm=list(numbers.lhs_spec)),
        inputs[1].transpose(numbers.rhs_spec)
        if isinstance(inputs[1], np.ndarray)
        else graph.add("Transpose", inputs[1], perm=list(numbers.rhs_spec)),
        strides=list(params["window_strides"]),
        pads=[*before, *after],
        dilations=list(params["rhs_dilation"]),
        group=params["feature_group_count"],
    )
    return graph.add("Transpose", convolved, perm=np.argsort(numbers.out_spec).tolist())


def _cholesky(graph, inputs, equation):
    return cholesky(graph, inputs[0], equation.invars[0].aval.shape)


def _triangular_solve(graph, inputs, equation):
    params, shape = equation.params, equation.invars[0].aval.shape
    assert params["left_side"] and not params["unit_diagonal"], "a triangular system of another kind"
    return triangular_solve(
        graph,
        *inputs,
        shape=shape,
        columns=equation.invars[1].aval.shape[-1],
        lower=params["lower"],
        transposed=params["transpose_a"],
    )


def _shape(equation) -> tuple[int, ...]:
    return equation.outvars[0].aval.shape


RULES: dict[str, Rule] = {
    **{name: _plain(kind) for name, kind in {
        "add": "Add", "add_any": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min",
        "neg": "Neg", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sin": "Sin", "cos": "Cos", "tanh": "Tanh",
        "floor": "Floor", "ceil": "Ceil", "round": "Round", "abs": "Abs", "sign": "Sign", "logistic": "Sigmoid",
        "asin": "Asin", "acos": "Acos", "erf": "Erf", "not": "Not", "and": "And", "or": "Or", "lt": "Less",
        "le": "LessOrEqual", "le_to": "LessOrEqual", "lt_to": "Less", "gt": "Greater", "ge": "GreaterOrEqual",
        "eq": "Equal", "copy": "Identity", "stop_gradient": "Identity", "optimization_barrier": "Identity",
    }.items()},
    "reduce_sum": _reduced("ReduceSum"), "reduce_max": _reduced("ReduceMax"), "reduce_min": _reduced("ReduceMin"),
    "square": lambda graph, inputs, equation: graph.add("Mul", inputs[0], inputs[0]),
    "reshape": _reshape, "squeeze": _squeeze, "broadcast_in_dim": _broadcast, "transpose": _transpose, "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "rev": _rev, "pad": _pad, "concatenate": _concatenate, "stack": _stack, "unstack": _unstack, "split": _split,
    "convert_element_type": _cast, "select_n": _select, "integer_pow": _power, "rsqrt": _inverse_root,
    "atan2": _atan2, "ne": _different, "clamp": _clamp, "sort": _sort, "dot_general": _dot,
    "conv_general_dilated": _convolution,
    "cholesky": _cholesky, "triangular_solve": _triangular_solve, "gather": gather,
    "scatter": lambda graph, inputs, equation: scatter(graph, inputs, equation, reduction="none"),
    "scatter-add": lambda graph, inputs, equation: scatter(graph, inputs, equation, reduction="add"),
}  # fmt: skip
