"""All parameters of the base level at once: Adam on the energy of one crop (eq. 6)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from fml_jax.codes import FaceCode, code_from_network, network_from_code
from fml_jax.face_model.base import BaseModel
from fml_jax.losses import BaseWeights, Observation, base_energy
from fml_jax.ops.arrays import Array
from fml_jax.ops.modes import weighted_sum

# One photo has to determine all parameters of a code: landmarks constrain the shape, and the prior constrains the rest.
# With a weaker prior on shape the colours fit better, but the inside of the mouth moves through the skin around it.
WEIGHTS = BaseWeights(photo=4000.0, sparse=5.2, reg=0.14, rstd=0.06, contour="pose")

# Penalties on what the photo does not determine. Skin half as bright under twice the light looks the same, so the
# optimiser would reach implausible colours for small gains; and no photometric term contains the eyes.
LIGHT = 60.0  # per squared change of γ
TINT = 3000.0  # per squared change of γ from the mean of its channels
EYES = 300.0  # per mean squared change of the eyes' reflectance

# Weight of the prior on identity about the network's, per squared standard deviation. It decides how much identity
# varies over frames of a person, relative to between people. With E_std's 0.14, about the mean face or the network's,
# the ratio was 0.71; with 1 and 5 it was 0.63 and 0.59, and the network's 0.57. For 48 other frames, where the
# network's is 0.601, weight 3 and E_sparse 3.8 gave 0.624, weight 6 and E_sparse 8 0.622. On 40 photos these had
# landmarks 0.92 and 0.77 % off (those left out 1.07 and 0.91 %), and on renders of scans shapes 0.92 and 0.97 mm.
# Weight 6 and E_sparse 5.2 had 0.85 % (0.99 %) and 0.93 mm (two of four pictures of each scan); the final level, with
# which refinement began, had 0.95 mm.
IDENTITY = 6.0

STEPS = 300
LEARNING_RATE = 0.2


@jax.jit
def fit_energy(model: BaseModel, code: FaceCode, observation: Observation, *, start: FaceCode) -> FaceCode:
    """The code with the lowest E_total (eq. 6, base level) among Adam's iterates; see `single_energy`.

    Args:
      model: needs the regions "face" and "eyes".
      code: the initial code; changes of its illumination are penalised.
      observation: the crop, its landmarks and their confidence.
      start: the network's code, from which identity and the eyes' reflectance should differ little.
    """
    sizes = model.code_sizes

    def energy(raw):
        candidate = code_from_network(raw, sizes)
        return single_energy(model, candidate, observation, start=start, light=code.illumination)

    return code_from_network(minimised(energy, network_from_code(code)), sizes)


def single_energy(
    model: BaseModel,
    candidate: FaceCode,
    observation: Observation,
    *,
    start: FaceCode,
    light: Float[Array, "9 3"],
) -> Float[Array, ""]:
    """E_total of a code, with penalties on what its crop does not determine.

    The prior on identity is centred at the network's, not at the mean face: the network has learned from many photos of
    each person which differences between photos are not the person's.

    Args:
      start: the network's code; changes of its identity and of its eyes' reflectance are penalised.
      light: γ, changes of which are penalised.
    """
    change = candidate.illumination - light
    relit = LIGHT * jnp.sum(change**2) + TINT * jnp.sum((change - change.mean(axis=1, keepdims=True)) ** 2)
    repainted = weighted_sum(candidate.reflectance - start.reflectance, model.reflectance)
    in_eyes = model.regions["eyes"] * jnp.sum(repainted**2, axis=1)
    undetermined = relit + EYES * jnp.sum(in_eyes) / jnp.maximum(jnp.sum(model.regions["eyes"]), 1)
    away = IDENTITY * jnp.sum((candidate.identity - start.identity) ** 2)
    towards_mean = WEIGHTS.reg * jnp.sum(candidate.identity**2)  # a part of E_std, in place of which `away` stands
    return base_energy(model, candidate, observation, weights=WEIGHTS)[0] + undetermined + away - towards_mean


def minimised(energy: Callable[[Any], Array], start: Any) -> Any:
    """The parameters with the lowest energy among Adam's iterates; arguments as of `descent`."""
    energies, iterates = descent(energy, start)
    best = jnp.argmin(jnp.where(jnp.isnan(energies), jnp.inf, energies))
    return jax.tree.map(lambda rows: rows[best], iterates)


def descent(energy: Callable[[Any], Array], start: Any) -> tuple[Float[Array, "S"], Any]:
    """Adam's iterates, the first of them the start, with their energies.

    Args:
      start: a pytree of arrays, in units in which their steps may be alike.

    Returns:
      The energies of S = `STEPS` iterates, and the iterates with the leading axis S.
    """
    import optax  # a tenth of a second, and only refinement needs it

    optimizer = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, STEPS, alpha=0.05))

    def step(state, _):
        now, opt_state = state
        value, gradient = jax.value_and_grad(energy)(now)
        updates, opt_state = optimizer.update(gradient, opt_state)
        return (optax.apply_updates(now, updates), opt_state), (value, now)

    return jax.lax.scan(step, (start, optimizer.init(start)), length=STEPS)[1]
