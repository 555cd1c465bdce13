"""Gathers and scatters of any kind, as those of flattened arrays with computed places."""

from typing import Any

import numpy as np

from fml_jax.export.onnx.graph import Graph, Value


def flat_places(
    graph: Graph,
    indices: Value,
    *,
    shape: tuple[int, ...],
    result: tuple[int, ...],
    window: tuple[int, ...],
    still: tuple[int, ...],
    starts: tuple[int, ...],
    batching: tuple[tuple[int, ...], tuple[int, ...]],
    largest: np.ndarray | None,
) -> Value:
    """Where each element of a gather's result, or of a scatter's updates, lies in the flattened operand.

    Args:
      indices: [..., K].
      shape: the operand's.
      result: the result's.
      window: the result's axes that move within a window.
      still: the operand's axes that no window moves along.
      starts: the operand's axis that each of the K numbers refers to.
      batching: axes of the operand, and of the indices, that go together.
      largest: [K], to which the numbers are clipped; None leaves them.
    """
    strides = np.cumprod([1, *shape[::-1]])[:-1][::-1].astype(np.int64)
    moving = [axis for axis in range(len(shape)) if axis not in still]
    outside = [axis for axis in range(len(result)) if axis not in window]
    places = np.zeros([1] * len(result), np.int64)
    steps = [(at, strides[axis]) for at, axis in zip(window, moving, strict=True)]
    steps += [(outside[own], strides[axis]) for axis, own in zip(*batching, strict=True)]
    for at, stride in steps:
        sides = [1] * len(result)
        sides[at] = result[at]
        places = places + (np.arange(result[at]) * stride).reshape(sides)
    sides = [1 if axis in window else result[axis] for axis in range(len(result))]
    if isinstance(indices, np.ndarray):
        clipped = indices if largest is None else np.clip(indices, 0, largest)
        return places + (clipped * strides[list(starts)]).sum(axis=-1).reshape(sides)
    if largest is not None:
        indices = graph.add("Max", graph.add("Min", indices, largest.astype(np.int64)), np.array(0))
    begins = graph.add("ReduceSum", graph.add("Mul", indices, strides[list(starts)]), np.array([-1]), keepdims=0)
    return graph.add("Add", graph.add("Reshape", begins, np.array(sides)), places)


def gather(graph: Graph, inputs: list[Value], equation: Any) -> Value:
    """`lax.gather`."""
    operand, indices = inputs
    shape, result = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    numbers, sizes = equation.params["dimension_numbers"], np.array(equation.params["slice_sizes"])
    still = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    starts = [int(axis) for axis in numbers.start_index_map]
    places = flat_places(
        graph,
        indices,
        shape=shape,
        result=result,
        window=numbers.offset_dims,
        still=still,
        starts=tuple(starts),
        batching=(numbers.operand_batching_dims, numbers.start_indices_batching_dims),
        largest=(np.array(shape) - sizes)[starts] if "CLIP" in str(equation.params["mode"]) else None,
    )
    return graph.add("Gather", graph.add("Reshape", operand, np.array([-1])), places, axis=0)


def scatter(graph: Graph, inputs: list[Value], equation: Any, *, reduction: str) -> Value:
    """`lax.scatter` and `lax.scatter_add` at places within the operand."""
    operand, indices, updates = inputs
    shape, result = equation.invars[0].aval.shape, equation.invars[2].aval.shape
    numbers = equation.params["dimension_numbers"]
    places = flat_places(
        graph,
        indices,
        shape=shape,
        result=result,
        window=numbers.update_window_dims,
        still=(*numbers.inserted_window_dims, *numbers.operand_batching_dims),
        starts=tuple(int(axis) for axis in numbers.scatter_dims_to_operand_dims),
        batching=(numbers.operand_batching_dims, numbers.scatter_indices_batching_dims),
        largest=None,
    )
    flat = [graph.add("Reshape", each, np.array([-1])) for each in (operand, places, updates)]
    return graph.add("Reshape", graph.add("ScatterElements", *flat, axis=0, reduction=reduction), np.array(shape))
