"""Gradients of a step's largest matrices as sums of few outer products.

With a batch as small as the paper's, the gradient of a matrix is a sum of five outer products, whose factors have at
most a hundredth of its size. An elementwise optimizer can compute each number of the gradient where it needs it, which
avoids an array as large as the parameters and the time to write and read it. Devices that share a batch exchange the
factors of their rows instead of summing gradients.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fml_jax.ops.products import Factored, LowRankGradient
from fml_jax.training.config import StageConfig
from fml_jax.training.optimizers import takes_low_rank_gradients

# Each number is recomputed wherever it is read: on CPUs that takes longer than reading it from about ten rows on.
_MOST_ROWS = 8

_LARGE = 2**22  # parameters of a matrix; for smaller ones an array is fast enough


def low_rank_rows(stage: StageConfig) -> int:
    """How many rows, on all devices, are multiplied by the large matrices in a step; 0 where arrays are faster."""
    # Synthetic rows use the encoder but not the correctives, and all factored matrices need the same number of rows.
    # Invariance uses the encoder twice.
    few = not stage.synthetic and not stage.invariance and stage.photos <= _MOST_ROWS
    return stage.photos if few and takes_low_rank_gradients(stage.optimizer) else 0


def with_low_rank_gradients(params: dict, rows: int) -> dict:
    """The parameters, with large matrices as `Factored` for a number of rows."""

    def factored(path, parameter):
        matrix = path[-1].key == "modes" or (path[-1].key == "kernel" and parameter.ndim == 2)
        return Factored.of(parameter, rows) if matrix and parameter.size >= _LARGE else parameter

    return jax.tree_util.tree_map_with_path(factored, params)


def low_rank_gradients_of(gradient: Any, mesh: Mesh | None = None) -> Any:
    """A gradient by parameters `with_low_rank_gradients`, as a tree of arrays and `LowRankGradient`.

    Args:
      mesh: of the devices that share the batch; each of them receives the factors of all rows.
    """
    # The other axis is unconstrained: otherwise each device would also receive all modes, to compute whole factors.
    rows_in_one_piece = PartitionSpec(None, PartitionSpec.UNCONSTRAINED)

    def bare(node):
        if not isinstance(node, Factored):
            return node
        if mesh is None:
            return node.gradient
        return jax.lax.with_sharding_constraint(node.gradient, NamedSharding(mesh, rows_in_one_piece))

    return jax.tree.map(bare, gradient, is_leaf=_is(Factored))


def gradient_norm(gradient: Any) -> jax.Array:
    """The ℓ2 norm of a tree of arrays and `LowRankGradient`."""
    nodes = jax.tree.leaves(gradient, is_leaf=_is(LowRankGradient))
    of_factors = sum(node.squared_norm() for node in nodes if isinstance(node, LowRankGradient))
    return jnp.sqrt(
        optax.tree.norm([node for node in nodes if not isinstance(node, LowRankGradient)], squared=True) + of_factors
    )


def _is(kind):
    return lambda node: isinstance(node, kind)
