"""Gradients of a step's largest matrices as the few outer products that they are made of.

With a batch as small as the paper's, a matrix's gradient is a sum of five outer products: a few thousandths of its size.
An optimizer that goes through parameter and statistics number by number can make the gradient's number where it needs it,
which spares the step an array as large as the parameters, and the time to write it once and read it again and again.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from fml_jax.multilevel import Network
from fml_jax.products import Factored, OuterProducts
from fml_jax.training.optimizers import takes_factors

# Each number is made anew for everyone who asks for it: from some ten rows on that takes longer than reading it.
_MOST_ROWS = 8

_LARGE = 2**22  # parameters of a matrix, fewer are not worth it


def rows_to_factor(network: Network, stage: Mapping) -> int:
    """How many rows a step's large matrices meet, where their gradients are better left as factors; else 0.

    On several devices they are not: what they add up is the gradient itself.
    """
    alone = network.mesh is None or network.mesh.size == 1
    fit = (
        not stage["synthetic"] and stage["photos"] <= _MOST_ROWS
    )  # else the correctives meet fewer rows than the encoder
    return stage["photos"] if alone and fit and takes_factors(stage["optimizer"]) else 0


def with_factors(params: dict, rows: int) -> dict:
    """The parameters, large matrices as `Factored` for so many rows."""

    def factored(path, parameter):
        matrix = path[-1].key == "modes" or (path[-1].key == "kernel" and parameter.ndim == 2)
        return Factored.of(parameter, rows) if matrix and parameter.size >= _LARGE else parameter

    return jax.tree_util.tree_map_with_path(factored, params)


def factors_of(gradient: Any) -> Any:
    """A gradient by parameters `with_factors`, as a tree of arrays and `OuterProducts`."""
    # Behind a barrier, or what the factors are made from is computed anew for every number of the matrix.
    bare = lambda node: jax.lax.optimization_barrier(node.gradient) if isinstance(node, Factored) else node
    return jax.tree.map(bare, gradient, is_leaf=_is(Factored))


def gradient_norm(gradient: Any) -> jax.Array:
    """The ℓ2 norm of a tree of arrays and `OuterProducts`."""
    nodes = jax.tree.leaves(gradient, is_leaf=_is(OuterProducts))
    of_factors = sum(node.squared_norm() for node in nodes if isinstance(node, OuterProducts))
    return jnp.sqrt(
        optax.tree.norm([node for node in nodes if not isinstance(node, OuterProducts)], squared=True) + of_factors
    )


def _is(kind):
    return lambda node: isinstance(node, kind)
