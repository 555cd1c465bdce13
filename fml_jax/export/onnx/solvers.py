"""Cholesky factors and triangular systems, which ONNX has no operations for: loops over columns."""

import numpy as np

from fml_jax.export.onnx.graph import Graph, Value

_LAST = np.array([-1])
_ROW, _BEFORE_LAST = np.array([-1]), np.array([-2])


def cholesky(graph: Graph, matrix: Value, shape: tuple[int, ...]) -> str:
    """L with L Lᵀ = A of matrices [..., n, n]: each round takes a column and its outer product away."""
    batch, size = int(np.prod(shape[:-2])), shape[-1]
    rows = np.arange(size)

    def column(inner: Graph, names: list[str]) -> list[Value]:
        number, going, rest = names
        at = inner.add("Gather", rest, number, axis=2)  # [b, n]
        pivot = inner.add("Gather", at, inner.add("Reshape", number, np.array([1])), axis=1)  # [b, 1]
        here = inner.add("Cast", inner.add("GreaterOrEqual", rows, number), to=1)
        found = inner.add("Mul", inner.add("Div", at, inner.add("Sqrt", pivot)), here)
        outer = inner.add(
            "Mul", inner.add("Unsqueeze", found, np.array([2])), inner.add("Unsqueeze", found, np.array([1]))
        )
        return [going, inner.add("Sub", rest, outer), found]

    columns = _loop(graph, column, size, graph.add("Reshape", matrix, np.array([batch, size, size])))
    factor = graph.add("Transpose", columns, perm=[1, 2, 0])  # [b, n, columns]
    return graph.add("Reshape", factor, np.array(shape))


def triangular_solve(
    graph: Graph, matrix: Value, right: Value, *, shape: tuple[int, ...], columns: int, lower: bool, transposed: bool
) -> str:
    """X with A X = B, or Aᵀ X = B, for triangular A [..., n, n] and B [..., n, columns].

    Args:
      lower: A is a lower triangular matrix, not an upper one.
    """
    batch, size = int(np.prod(shape[:-2])), shape[-1]
    matrix = graph.add("Reshape", matrix, np.array([batch, size, size]))
    right = graph.add("Reshape", right, np.array([batch, size, columns]))
    if transposed:
        matrix = graph.add("Transpose", matrix, perm=[0, 2, 1])
    downwards = lower != transposed
    order = np.arange(size) if downwards else np.arange(size)[::-1].copy()
    places = np.arange(size)

    def row(inner: Graph, names: list[str]) -> list[Value]:
        number, going, rest = names
        at = inner.add("Gather", order, inner.add("Reshape", number, np.array([1])), axis=0)  # [1]
        column = inner.add("Gather", matrix, at, axis=2)  # [b, n, 1]
        pivot = inner.add("Gather", column, at, axis=1)  # [b, 1, 1]
        found = inner.add("Div", inner.add("Gather", rest, at, axis=1), pivot)  # [b, 1, c]
        # The row itself and those before it may become anything: they are not read again.
        return [
            going,
            inner.add("Sub", rest, inner.add("Mul", column, found)),
            inner.add("Squeeze", found, np.array([1])),
        ]

    rows = _loop(graph, row, size, right)  # [n, b, c]
    in_order = graph.add("Gather", rows, places if downwards else order, axis=0)
    return graph.add("Reshape", graph.add("Transpose", in_order, perm=[1, 0, 2]), np.array([*shape[:-1], columns]))


def _loop(graph: Graph, build, rounds: int, state: Value) -> str:
    """What each round of a loop with one state yields, stacked."""
    body = graph.body(build, [(np.int64, []), (bool, []), (np.float32, None)])
    return graph.add("Loop", np.array(rounds), np.array(True), state, outputs=2, body=body)[1]
