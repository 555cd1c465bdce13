"""The gradient of each term with respect to each group of parameters, as a norm."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from fml_jax.networks.multilevel import Network
from fml_jax.training.config import StageConfig
from fml_jax.training.optimizers import group_labels
from fml_jax.training.step import make_loss, step_key


def make_gradient_norms(network: Network, stage: StageConfig, *, seed: int) -> Callable[..., dict[str, jax.Array]]:
    """`gradient_norms(state, model, batch) -> {"gradient/TERM/GROUP": norm}`, to be compiled by the caller.

    The norms are those of each term's mean before weighting, at the parameters with which the step begins, over
    the groups of the stage's optimizer; "loss" among the terms is the weighted sum. The computation takes one
    backward pass for each term.
    """
    loss = make_loss(network, stage)
    prefixes = {name: group.prefix for name, group in stage.optimizer.groups.items()}

    def gradient_norms(state, model, batch):
        def means(params):
            _, metrics = loss(params, model, batch, step_key(seed, state.step))
            return {name: value for name, value in metrics.items() if name != "rows"}

        values, pullback = jax.vjp(means, state.params)
        labels = group_labels(state.params, prefixes)

        def of_one(which):
            cotangent = dict(zip(values, which, strict=True))
            (gradient,) = pullback(cotangent)
            return {group: optax.tree.norm(_members(gradient, labels, group)) for group in prefixes}

        # In sequence: all terms share one compiled backward pass and the memory of one gradient.
        norms = jax.lax.map(of_one, jnp.eye(len(values)))
        return {f"gradient/{name}/{group}": norms[group][k] for k, name in enumerate(values) for group in prefixes}

    return gradient_norms


def _members(tree, labels, group):
    return [leaf for leaf, label in zip(jax.tree.leaves(tree), jax.tree.leaves(labels), strict=True) if label == group]
