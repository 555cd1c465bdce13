"""The face model that a run has learned, taken out of its state."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.learned import FaceModel, delta_statistics
from fml_jax.networks.multilevel import Network
from fml_jax.ops.images import unit_range
from fml_jax.training.sharding import gathered, over_batch, placed, replicated
from fml_jax.training.step import TrainState


def learned_model(
    network: Network, model: BaseModel, state: TrainState, batch: Callable[[int], dict], photos: int, faces: int
) -> FaceModel:
    """Base and correctives as they are shown, with how δ spreads over faces of photos.

    Args:
      network: on a mesh.
      batch: gives a step's batch; those after the last one trained on are used.
      photos: how many rows of it, the last ones, are photos.
      faces: how many faces to look at, or a few more.
    """
    shown = gathered(state.shown, network.mesh)
    deltas = _deltas(network, state, batch, photos, faces)
    spaces = network.corrective_spaces(jax.tree.map(jnp.asarray, shown))
    statistics = map(jnp.asarray, delta_statistics(deltas))
    return FaceModel(model, spaces, *statistics, nonlinearities=network.correctives.nonlinearities)


def _deltas(network, state, batch, photos, faces) -> np.ndarray:
    everywhere = replicated(network.mesh)
    said = jax.jit(
        lambda params, crops: network.corrective_parameters(params, unit_range(crops)), out_shardings=everywhere
    )
    found, first = [], int(state.step)
    for step in range(first, first + faces):  # far fewer will do, unless hardly a row shows a face
        rows = batch(step)
        deltas = jax.device_get(said(state.shown, placed(rows["crop"], over_batch(network.mesh))))
        found.append(deltas[-photos:][rows["is_face"][-photos:] > 0])
        if sum(map(len, found)) >= faces:
            break
    return np.concatenate(found)
