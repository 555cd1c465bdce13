"""All parameters of the base level of several crops of one person at once: identity and reflectance are shared."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from fml_jax.codes import FaceCode, code_from_network, network_from_code
from fml_jax.face_model.base import BaseModel
from fml_jax.fitting.energy import IDENTITY, WEIGHTS, minimised, single_energy
from fml_jax.losses import Observation
from fml_jax.losses.regularisers import statistical_energy
from fml_jax.ops.arrays import Array


@jax.jit
def fit_shared_energy(
    model: BaseModel, codes: FaceCode, observations: Observation, *, used: Float[Array, "B"]
) -> FaceCode:
    """B codes with one identity and one reflectance whose mean energy is lowest among Adam's iterates.

    It is the energy of `fit_energy`, but the prior on what the crops share counts once for all of them.

    Args:
      codes: the initial codes, which have one identity and one reflectance already.
      observations: the crops, their landmarks and their confidence.
      used: the weight of each crop, 0 for one that fills up a batch.
    """
    share, sizes = used / used.sum(), model.code_sizes
    start = jax.vmap(network_from_code)(codes)
    common = {"identity": codes.identity[0], "reflectance": codes.reflectance[0]}

    def candidates(state):
        own = jax.vmap(code_from_network, in_axes=(0, None))(state["own"], sizes)
        count = len(used)
        return own.replace(
            **{name: jnp.broadcast_to(part, (count, len(part))) for name, part in state["common"].items()}
        )

    def energy(state):
        found = candidates(state)
        each = jax.vmap(
            lambda candidate, observation, code: single_energy(
                model, candidate, observation, start=code, light=code.illumination
            )
        )(found, observations, codes)
        one = jax.tree.map(lambda part: part[0], found)
        prior = WEIGHTS.reg * statistical_energy(
            one.replace(identity=0 * one.identity, expression=jnp.zeros(sizes.expression)), WEIGHTS.rstd
        ) + IDENTITY * jnp.sum((one.identity - codes.identity[0]) ** 2)
        return share @ each - (1 - 1 / used.sum()) * prior

    return candidates(minimised(energy, {"own": start, "common": common}))
