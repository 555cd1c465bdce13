"""The face model that a run has learned, extracted from its state."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.learned import FaceModel, delta_statistics
from fml_jax.networks.multilevel import Network
from fml_jax.ops.images import unit_range
from fml_jax.training.sharding import gathered, over_batch, placed, replicated
from fml_jax.training.step import TrainState


def learned_model(
    network: Network,
    model: BaseModel,
    state: TrainState,
    *,
    mesh: Mesh,
    batch: Callable[[int], dict],
    photos: int,
    faces: int,
) -> FaceModel:
    """The base model and the correctives, with the statistics of δ over faces of photos.

    Args:
      network: with correctives.
      batch: returns the batch of a step; the batches after the last one trained on are used.
      photos: how many rows of a batch, the last ones, are photos.
      faces: the least number of faces of which the statistics are computed.
    """
    assert network.correctives is not None, "a network without correctives learns no face model"
    params = gathered(state.eval_params, mesh)
    deltas = _deltas(network, model, state, mesh=mesh, batch=batch, photos=photos, faces=faces)
    spaces = network.corrective_spaces(jax.tree.map(jnp.asarray, params))
    mean, factor = map(jnp.asarray, delta_statistics(deltas))
    return FaceModel(model, spaces, mean, factor, nonlinearities=network.correctives.nonlinearities)


def _deltas(network: Network, model, state, *, mesh, batch, photos, faces) -> np.ndarray:
    def parameters(params, model, crops):
        crops = unit_range(crops)
        code, _ = network.final_level(params, network.encode(params, crops), model, crops=crops)
        return jnp.concatenate([code.geometry, code.reflectance], axis=-1)

    predict = jax.jit(parameters, out_shardings=replicated(mesh))
    model = placed(model, replicated(mesh))
    found, first = [], int(state.step)
    for step in range(first, first + faces):  # ends much earlier, unless hardly a row is a face
        rows = batch(step)
        deltas = jax.device_get(predict(state.eval_params, model, placed(rows["crop"], over_batch(mesh))))
        found.append(deltas[-photos:][np.asarray(rows["is_face"])[-photos:] > 0])
        if sum(map(len, found)) >= faces:
            break
    return np.concatenate(found)
