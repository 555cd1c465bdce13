"""Optimizers with a learning rate per named group of parameters."""

from collections.abc import Mapping

import jax
import optax
import optax.contrib

from fml_jax.errors import InputError
from fml_jax.ops.products import LowRankGradient
from fml_jax.training.adadelta import adadelta


def make_optimizer(settings: Mapping, steps: int) -> optax.GradientTransformation:
    """An Optax optimizer for one stage.

    Args:
      settings: `name` ("adadelta", "adam", "adamw" or "muon"), `groups` (name → {`prefix`, `rate`}:
        the parameters whose '/'-joined path begins with the prefix; rate 0 leaves them as they are
        and keeps no statistics of them), `schedule` ("constant" or "cosine"), `warmup` (steps), `clip`
        (global norm; 0 is none), and the optimizer's own `rho` and `eps` (adadelta) or `decay` (adamw).
      steps: the stage's length, which the cosine ends with.

    Raises:
      InputError (a ValueError): unknown name or schedule; when the optimizer is initialised, a parameter that
        belongs to no group or to several.
    """
    groups = settings["groups"]
    per_group = {name: _rule(settings, group["rate"], steps) for name, group in groups.items()}
    prefixes = {name: group["prefix"] for name, group in groups.items()}
    partitioned = optax.partition(per_group, lambda params: group_labels(params, prefixes))
    clip = settings.get("clip", 0.0)
    return optax.chain(optax.clip_by_global_norm(clip), partitioned) if clip else partitioned


def group_labels(params, prefixes: Mapping[str, str]):
    """The one group that each parameter belongs to, as a tree like `params`."""

    def label(path, _):
        name = "/".join(str(key.key) for key in path)
        owners = [group for group, prefix in prefixes.items() if _begins(name, prefix)]
        if len(owners) != 1:
            fault = "no group" if not owners else f"the groups {', '.join(owners)}"
            raise InputError(
                f"parameter {name!r} belongs to {fault}; each needs exactly one (groups: {dict(prefixes)})"
            )
        return owners[0]

    return jax.tree_util.tree_map_with_path(label, params, is_leaf=lambda node: isinstance(node, LowRankGradient))


def takes_low_rank_gradients(settings: Mapping) -> bool:
    """Whether the optimizer of such settings takes gradients as `LowRankGradient`."""
    return settings["name"] == "adadelta" and not settings.get("clip", 0.0)


def _begins(name: str, prefix: str) -> bool:
    return not prefix or name == prefix or name.startswith(prefix.rstrip("/") + "/")


def _rates(settings, rate: float, steps: int):
    schedule, warmup = settings.get("schedule", "constant"), settings.get("warmup", 0)
    if schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(0.0, rate, warmup, max(steps, warmup + 1), end_value=0.01 * rate)
    if schedule == "constant":
        return optax.linear_schedule(0.0, rate, warmup) if warmup else rate
    raise InputError(f"schedule {schedule!r} is unknown; choose constant or cosine")


def _rule(settings, rate, steps):
    name = settings["name"]
    if name not in _RULES:
        raise InputError(f"optimizer {name!r} is unknown; choose one of {', '.join(_RULES)}")
    rates = _rates(settings, rate, steps)
    # Not `optax.set_to_zero`, whose zeros are those of the gradient, which may be factors.
    return _RULES[name](rates, settings) if rate else optax.stateless(lambda _, params: optax.tree.zeros_like(params))


def _as_matrices(params):
    """Which parameters Muon (Jordan et al. 2024) turns as matrices, inputs to outputs: kernels of hidden layers.

    The layers that speak (codes, scores, keypoints' maps) and all vectors get Adam, as its authors advise.
    """

    def matrix(path, parameter):
        name = "/".join(str(key.key) for key in path)
        if parameter.ndim < 2 or not name.endswith("kernel") or name.endswith(_SPEAKING):
            return None
        inputs = tuple(range(parameter.ndim - 1))
        return optax.contrib.MuonDimensionNumbers(reduction_axis=inputs, output_axis=parameter.ndim - 1)

    return jax.tree_util.tree_map_with_path(matrix, params)


# Kernels whose outputs are read as numbers: codes, scores, the final level's, and the keypoints' distributions.
_SPEAKING = ("code/kernel", "score/kernel", "final/kernel", "_Keypoints_0/Conv_2/kernel")

_RMS_OF_ADAM = 0.2  # so that a rate that suits Adam suits Muon (Liu et al. 2025)


def _muon(rate):
    return optax.contrib.muon(rate, consistent_rms=_RMS_OF_ADAM, muon_weight_dimension_numbers=_as_matrices)


_RULES = {
    "adadelta": lambda rate, own: adadelta(rate, own.get("rho", 0.95), own.get("eps", 1e-6)),
    "adam": lambda rate, own: optax.adam(rate),
    "adamw": lambda rate, own: optax.adamw(rate, weight_decay=own.get("decay", 1e-4)),
    "muon": lambda rate, own: _muon(rate),
}
