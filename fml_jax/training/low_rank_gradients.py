"""Gradients of a step's largest matrices as the few outer products that they are made of.

With a batch as small as the paper's, a matrix's gradient is a sum of five outer products, whose factors are a hundredth of its size or less.
An optimizer that goes through parameter and statistics number by number can make the gradient's number where it needs it,
which spares the step an array as large as the parameters, and the time to write it once and read it again and again.
Devices that share a batch tell each other the factors of their rows, and not the gradients' sum.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fml_jax.ops.products import Factored, LowRankGradient
from fml_jax.training.optimizers import takes_low_rank_gradients

# Each number is made anew for everyone who asks for it: on CPUs that takes longer than reading it from some ten rows on.
_MOST_ROWS = 8

_LARGE = 2**22  # parameters of a matrix, fewer are not worth it


def low_rank_rows(stage: Mapping) -> int:
    """How many rows, on all devices, the large matrices of a stage's step meet; 0 if their gradients are better arrays."""
    # Synthetic rows meet the encoder and not the correctives, and all factored matrices have one number of rows.
    few = not stage["synthetic"] and stage["photos"] <= _MOST_ROWS
    return stage["photos"] if few and takes_low_rank_gradients(stage["optimizer"]) else 0


def with_low_rank_gradients(params: dict, rows: int) -> dict:
    """The parameters, large matrices as `Factored` for so many rows."""

    def factored(path, parameter):
        matrix = path[-1].key == "modes" or (path[-1].key == "kernel" and parameter.ndim == 2)
        return Factored.of(parameter, rows) if matrix and parameter.size >= _LARGE else parameter

    return jax.tree_util.tree_map_with_path(factored, params)


def low_rank_gradients_of(gradient: Any, mesh: Mesh | None = None) -> Any:
    """A gradient by parameters `with_low_rank_gradients`, as a tree of arrays and `LowRankGradient`.

    Args:
      mesh: of the devices that share the batch, each of which gets all rows' factors.
    """
    # Nothing is said of the other axis: else each device would get all modes too, to make whole factors of them.
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
