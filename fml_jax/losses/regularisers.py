"""What is assumed of faces: eq. 11–15, each for one sample.

Sums over pairs of vertices are differentiated by symmetry: a vertex is moved by its own pairs and
by those that name it, and both are gathers. No scatter-add, which would be slow on CPUs and not
reproducible on GPUs.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Key

from fml_jax.arrays import Array
from fml_jax.codes import FaceCode
from fml_jax.face_model.topology import Topology, neighbour_counts, one_ring_sum
from fml_jax.image_formation.points import sample_bilinear

SPARSITY = 0.9  # p of eq. 13
CHROMATICITY_FALLOFF = 50.0  # α of eq. 13
PAIRS = 6  # |G_i| of eq. 14

# Pixels darker than this (the sum of RGB, one grey level) have no hue worth dividing by.
_DARKEST = 3 / 255


def statistical_energy(code: FaceCode, rstd: float) -> Float[Array, ""]:
    """E_std (eq. 11): Σ α² + w_rstd Σ β², codes being in standard deviations."""
    geometry = jnp.sum(code.identity**2) + jnp.sum(code.expression**2)
    return geometry + rstd * jnp.sum(code.reflectance**2)


def smoothness_energy(corrections: Float[Array, "N 3"], topology: Topology) -> Float[Array, ""]:
    """E_smo (eq. 12) before its weight: 1/N Σ_i ‖ 1/|N_i| Σ_{j∈N_i} (F_i − F_j) ‖², mm².

    A vertex without neighbours has no term.
    """
    counts = neighbour_counts(topology)[:, None]
    laplacian = corrections - one_ring_sum(corrections, topology) / jnp.maximum(counts, 1)
    return jnp.mean(jnp.sum(jnp.where(counts > 0, laplacian, 0.0) ** 2, axis=1))


def chromaticity(colours: Float[Array, "*shape 3"]) -> Float[Array, "*shape 3"]:
    """RGB over its sum: what remains of a colour when its brightness is taken away; black is 0."""
    return colours / jnp.maximum(jnp.sum(colours, axis=-1, keepdims=True), _DARKEST)


def chromaticity_weights(
    image: Float[Array, "H W 3"],
    pixels: Float[Array, "N 2"],
    topology: Topology,
    mask: Float[Array, "H W"] | None = None,
) -> Float[Array, "N K"]:
    """w_ij of eq. 13 for the one-ring of each vertex: exp(−50 ‖Δ chromaticity‖), 0 where the ring is padded.

    Constants of the optimisation: no gradient passes.

    Args:
      pixels: u_i of the final level.
      mask: 1 where the crop shows the face. Where it does not, a pair keeps its full weight: an
        occluder's edge is no sign that the skin changes below it.
    """
    seen = sample_bilinear(image, pixels)
    neighbours = topology.neighbours
    difference = chromaticity(seen)[:, None] - _gather(chromaticity(seen), neighbours)
    weights = jnp.exp(-CHROMATICITY_FALLOFF * jnp.linalg.norm(difference, axis=-1))
    if mask is not None:
        known = sample_bilinear(mask[..., None], pixels)[:, 0]
        both = known[:, None] * _gather(known, neighbours)
        weights = both * weights + (1 - both)
    return jax.lax.stop_gradient(jnp.where(neighbours < len(pixels), weights, 0.0))


def sparsity_energy(
    reflectance: Float[Array, "N 3"], weights: Float[Array, "N K"], topology: Topology
) -> Float[Array, ""]:
    """E_ref (eq. 13) before its weight: 1/N Σ_i Σ_{j∈N_i} w_ij ‖r_i − r_j‖^0.9.

    The weights must be symmetric, w_ij = w_ji, and 0 where the ring is padded, as those of
    `chromaticity_weights` are.
    """
    # Channels first, and a power as what it is made of: both take XLA's CPU backend less time.
    channels, neighbours = reflectance.T, topology.neighbours.T
    around = jnp.take(jax.lax.stop_gradient(channels), neighbours, axis=1, mode="clip")
    squared = jnp.sum((channels[:, None] - around) ** 2, axis=0)
    # The power's gradient at zero is guarded at its argument; 1e-8 is far under one grey level.
    energy = jnp.sum(weights.T * jnp.exp(SPARSITY / 2 * jnp.log(squared + 1e-8))) / len(reflectance)
    # Every edge is in the sum from both of its ends, so the other end's share is as much again.
    return 2 * energy - jax.lax.stop_gradient(energy)


class SkinPairs(NamedTuple):
    """G_i of eq. 14 as gather tables; rows outside of the mask M mean nothing."""

    partners: jax.Array  # [N, 6] int, the vertices of G_i
    named_by: jax.Array  # [N, 6] int, the vertices whose k-th partner i is


def draw_skin_pairs(key: Key[Array, ""], skin: Bool[Array, "N"]) -> SkinPairs:
    """Six random partners in M for each of its vertices, never itself; the same for the same key.

    M is shuffled into a circle and each vertex looks six random steps ahead. A partner is then
    uniformly distributed, and who names a vertex is found by looking as far back.
    """
    shuffle, step = jax.random.split(key)
    size = jnp.maximum(jnp.sum(skin), 1)
    order = jnp.argsort(jax.random.uniform(shuffle, skin.shape) + 2.0 * ~skin)  # M first
    in_turn = jnp.arange(len(skin), dtype=order.dtype)
    place = jnp.zeros_like(order).at[order].set(in_turn, unique_indices=True)[:, None]  # the inverse, without another sort
    ahead = jax.random.randint(step, (PAIRS,), 1, jnp.maximum(size, 2))
    return SkinPairs(partners=order[(place + ahead) % size], named_by=order[(place - ahead) % size])


def constancy_energy(
    reflectance: Float[Array, "N 3"], pairs: SkinPairs, skin: Bool[Array, "N"]
) -> Float[Array, ""]:
    """E_glo (eq. 14) before its weight: 1/|M| Σ_{i∈M} Σ_{j∈G_i} ‖r_i − r_j‖²."""
    others = jax.lax.stop_gradient(reflectance)

    def total(partners: Int[Array, "N 6"]):
        squared = jnp.sum((reflectance[:, None] - others[partners]) ** 2, axis=(1, 2))
        return jnp.sum(jnp.where(skin, squared, 0.0)) / jnp.maximum(jnp.sum(skin), 1)

    # The same pairs seen from their other ends: the same value, and the rest of the gradient.
    reverse = total(pairs.named_by)
    return total(pairs.partners) + reverse - jax.lax.stop_gradient(reverse)


def stabilisation_energy(corrections: Float[Array, "N 3"]) -> Float[Array, ""]:
    """E_sta (eq. 15) before its weight: 1/N Σ_i ‖F_i‖², mm²."""
    return jnp.mean(jnp.sum(corrections**2, axis=1))


def _gather(values, table):
    """Rows of `values` that a table names, zeros past the end."""
    return jnp.take(values, table, axis=0, mode="fill", fill_value=0)
