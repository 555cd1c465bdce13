"""Starting a run with the weights of another: to fine-tune the shipped network, or to change a part of it."""

from collections.abc import Collection

import jax
import jax.numpy as jnp
from absl import logging
from flax.traverse_util import flatten_dict, unflatten_dict

from fml_jax.errors import InputError
from fml_jax.networks.multilevel import PARTS, layers
from fml_jax.networks.weights import load_weights
from fml_jax.training.step import TrainState


def warm_started(state: TrainState, path: str, *, encoder: str, without: Collection[str] = ()) -> TrainState:
    """A new state with the parameters of a weights file wherever names and shapes agree.

    Parameters that the file lacks, or has in another shape, keep their values; a warning lists them.

    Args:
      encoder: the name of the network's encoder. Layers of another one fit by chance, if at all.
      without: parts of the network, "encoder" or of `multilevel.PARTS`, that keep their values in any case.

    Raises:
      InputError: no weights file, one of another encoder, or one without any parameter of this network; a part that no
        network has.
    """
    parts = ("encoder", *PARTS)
    if unknown := sorted(set(without) - set(parts)):
        raise InputError(f"--config.start_without: no network has {', '.join(unknown)}; parts are {', '.join(parts)}")
    weights, note = load_weights(path)
    if note.get("encoder", encoder) != encoder and "encoder" not in without:
        raise InputError(
            f"--config.start_from={path}: its encoder is {note['encoder']!r}, and this run's is {encoder!r}; set "
            f"--config.encoder={note['encoder']}, or leave the encoder out with --config.start_without=\"('encoder',)\""
        )
    kept = {name: part for name, part in weights.items() if _part_of(name) not in without}
    found = flatten_dict(kept, sep="/")
    own = flatten_dict(layers(state.params), sep="/")
    taken = {name: found[name] for name, value in own.items() if name in found and found[name].shape == value.shape}
    if not taken:
        raise InputError(f"--config.start_from={path}: none of its {len(found)} parameters fit this network")
    if afresh := sorted(name for name in own.keys() - taken.keys() if _part_of(name) not in without):
        logging.warning(
            "not in %s, or of another shape there; these keep their random initial values: %s", path, ", ".join(afresh)
        )
    if unused := sorted({name.partition("/")[0] for name in found.keys() - own.keys()}):
        logging.warning("in %s, but not in this network, and left out: %s", path, ", ".join(unused))
    params = {**state.params, **_by_part({**own, **taken}, state.params)}
    return state.replace(params=params, ema_params=state.ema_params and jax.tree.map(jnp.copy, params))


def _part_of(name: str) -> str:
    first = name.partition("/")[0]
    return first if first in PARTS else "encoder"


def _by_part(named: dict, params: dict) -> dict:
    """The inverse of `layers`; each parameter is placed on the devices of the one that it replaces."""
    tree = unflatten_dict(named, sep="/")
    parts = {name: tree.pop(name) for name in PARTS if name in params}
    parts["encoder"] = tree
    return {
        part: jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), parts[part], params[part])
        for part in parts
    }
