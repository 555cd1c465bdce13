"""Optimizers with a learning rate per named group of parameters."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax
import optax.contrib

from fml_jax.errors import InputError
from fml_jax.ops.products import LowRankGradient
from fml_jax.training.adadelta import adadelta
from fml_jax.training.config import OptimizerConfig


def make_optimizer(settings: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """An Optax optimizer for one stage.

    Args:
      settings: parameters of a group with learning rate 0 stay constant, and have no statistics.
      steps: the stage's length, at which the cosine schedule ends.

    Raises:
      InputError (a ValueError): when the optimizer is initialised, a parameter that belongs to no group, or to several
        with one prefix.
    """
    per_group = {name: _rule(settings, group.learning_rate, steps) for name, group in settings.groups.items()}
    prefixes = {name: group.prefix for name, group in settings.groups.items()}
    partitioned = optax.partition(per_group, lambda params: group_labels(params, prefixes))
    return optax.chain(optax.clip_by_global_norm(settings.clip), partitioned) if settings.clip else partitioned


def group_labels(params: Any, prefixes: Mapping[str, str]) -> Any:
    """The one group to which each parameter belongs, that with the longest prefix that fits, as a tree like `params`.

    Raises:
      InputError: a parameter that belongs to no group, or to several with one prefix.
    """

    def label(path, _):
        name = "/".join(str(key.key) for key in path)
        found = {group: prefix for group, prefix in prefixes.items() if _begins(name, prefix)}
        longest = max((prefix.rstrip("/") for prefix in found.values()), key=len, default="")
        owners = [group for group, prefix in found.items() if prefix.rstrip("/") == longest]
        if len(owners) != 1:
            fault = "no group" if not owners else f"the groups {', '.join(owners)}, which have one prefix"
            raise InputError(
                f"parameter {name!r} belongs to {fault}; each needs exactly one (groups: {dict(prefixes)})"
            )
        return owners[0]

    return jax.tree_util.tree_map_with_path(label, params, is_leaf=lambda node: isinstance(node, LowRankGradient))


def takes_low_rank_gradients(settings: OptimizerConfig) -> bool:
    """Whether the optimizer of such settings accepts gradients as `LowRankGradient`."""
    return settings.name == "adadelta" and not settings.clip


def _begins(name: str, prefix: str) -> bool:
    return not prefix or name == prefix or name.startswith(prefix.rstrip("/") + "/")


def _learning_rates(settings: OptimizerConfig, peak: float, steps: int) -> optax.ScalarOrSchedule:
    warmup = settings.warmup
    if settings.schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, max(steps, warmup + 1), end_value=0.01 * peak)
    return optax.linear_schedule(0.0, peak, warmup) if warmup else peak


def _rule(settings: OptimizerConfig, learning_rate: float, steps: int) -> optax.GradientTransformation:
    if not learning_rate:
        # `optax.set_to_zero` would return zeros in the form of the gradient, which may be low-rank factors.
        return optax.stateless(lambda _, params: optax.tree.zeros_like(params))
    return _RULES[settings.name](_learning_rates(settings, learning_rate, steps), settings)


def _as_matrices(params):
    """The parameters that Muon (Jordan et al. 2024) orthogonalises as matrices from inputs to outputs.

    These are the kernels of hidden layers. Output layers and all vectors are updated by Adam, as its authors advise.
    """

    def matrix(path, parameter):
        name = "/".join(str(key.key) for key in path)
        if parameter.ndim not in _MATRIX_AXES or not name.endswith("kernel") or name.endswith(_OUTPUT_LAYERS):
            return None
        inputs = tuple(range(parameter.ndim - 1))
        return optax.contrib.MuonDimensionNumbers(reduction_axis=inputs, output_axis=parameter.ndim - 1)

    return jax.tree_util.tree_map_with_path(matrix, params)


_MATRIX_AXES = (2, 4)  # of dense layers and convolutions; layers with weights for each point have three

# Kernels of the layers that output codes, scores, the final level's parameters and the distributions of keypoints.
_OUTPUT_LAYERS = ("code/kernel", "score/kernel", "final/kernel", "classes/kernel", "_Keypoints_0/Conv_2/kernel")

_RMS_OF_ADAM = 0.2  # scales Muon's updates so that a rate that suits Adam suits Muon (Liu et al. 2025)


def _muon(learning_rate):
    return optax.contrib.muon(learning_rate, consistent_rms=_RMS_OF_ADAM, muon_weight_dimension_numbers=_as_matrices)


_RULES: dict[str, Callable[[optax.ScalarOrSchedule, OptimizerConfig], optax.GradientTransformation]] = {
    "adadelta": lambda learning_rate, settings: adadelta(learning_rate, settings.rho, settings.eps),
    "adam": lambda learning_rate, settings: optax.adam(learning_rate),
    "adamw": lambda learning_rate, settings: optax.adamw(learning_rate, weight_decay=settings.weight_decay),
    "muon": lambda learning_rate, settings: _muon(learning_rate),
}
