"""Regularisers: priors on codes and corrections, eq. 11–15, each for one sample.

Gradients of sums over pairs of vertices are computed by gathers: a vertex receives the gradients of its own
pairs and of those in which it is the partner. Scatter-adds would be slow on CPUs and not reproducible on GPUs.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Key

from fml_jax.codes import FaceCode
from fml_jax.face_model.topology import Topology, edge_differences, neighbour_counts, one_ring_sum
from fml_jax.ops.arrays import Array
from fml_jax.ops.dot_products import squared_lengths

SPARSITY = 0.9  # p of eq. 13
CHROMATICITY_FALLOFF = 50.0  # α of eq. 13
PAIRS = 6  # |G_i| of eq. 14

# Lower bound of the sum of RGB (one grey level): the chromaticity of darker pixels is noise.
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
    """RGB over its sum: a colour without its brightness; black is 0."""
    return colours / jnp.maximum(jnp.sum(colours, axis=-1, keepdims=True), _DARKEST)


def chromaticity_weights(
    seen: Float[Array, "N 3"], topology: Topology, known: Float[Array, "N"] | None = None
) -> Float[Array, "E"]:
    """w_ij of eq. 13 for every edge: exp(−50 ‖Δ chromaticity‖).

    The weights are constants of the optimisation: no gradient flows through them.

    Args:
      seen: I(u_i), the crop's colours at the final level's pixels.
      known: 1 where the crop shows the face there. Elsewhere a pair has weight 1: an occluder's
        edge is no evidence of a change of the skin below it.
    """
    distance = jnp.sqrt(squared_lengths(edge_differences(chromaticity(seen), topology)))
    weights = jnp.exp(-CHROMATICITY_FALLOFF * distance)
    if known is not None:
        both = known[topology.edges[:, 0]] * known[topology.edges[:, 1]]
        weights = both * weights + (1 - both)
    return jax.lax.stop_gradient(weights)


def sparsity_energy(
    reflectance: Float[Array, "N 3"], weights: Float[Array, "E"], topology: Topology
) -> Float[Array, ""]:
    """E_ref (eq. 13) before its weight: 1/N Σ_i Σ_{j∈N_i} w_ij ‖r_i − r_j‖^0.9; every edge counts from both ends."""
    squared = squared_lengths(edge_differences(reflectance, topology))
    # The offset of 1e-8, far below one grey level, keeps the gradient finite at zero. The power is written with
    # exp and log, which takes XLA's CPU backend less time.
    distances = jnp.exp(SPARSITY / 2 * jnp.log(squared + 1e-8))
    return 2 * jnp.sum(weights * distances) / len(reflectance)


class SkinPairs(NamedTuple):
    """The sets G_i of eq. 14: M in random circular order; partners of a vertex are fixed numbers of steps ahead."""

    order: jax.Array  # [N] int, the vertices of M in circular order, then all others
    place: jax.Array  # [N] int, the position of each vertex in `order`
    size: jax.Array  # int, |M|, at least 1
    ahead: jax.Array  # [6] int, steps, from 1 to |M| − 1

    def partners(self) -> Int[Array, "N 6"]:
        """The vertices of G_i; rows of vertices outside M are meaningless."""
        return self.order[(self.place[:, None] + self.ahead) % self.size]


def draw_skin_pairs(key: Key[Array, ""], skin: Bool[Array, "N"]) -> SkinPairs:
    """Six random partners in M for each of its vertices, each uniform over the others; the same for the same key."""
    shuffle, step = jax.random.split(key)
    size = jnp.maximum(jnp.sum(skin), 1)
    order = jnp.argsort(jax.random.uniform(shuffle, skin.shape) + 2.0 * ~skin)  # M first
    in_turn = jnp.arange(len(skin), dtype=order.dtype)
    place = jnp.zeros_like(order).at[order].set(in_turn, unique_indices=True)  # the inverse, without another sort
    return SkinPairs(order, place, size, jax.random.randint(step, (PAIRS,), 1, jnp.maximum(size, 2)))


@jax.custom_vjp
def constancy_energy(reflectance: Float[Array, "N 3"], pairs: SkinPairs) -> Float[Array, ""]:
    """E_glo (eq. 14) before its weight: 1/|M| Σ_{i∈M} Σ_{j∈G_i} ‖r_i − r_j‖²."""
    return _constancy_forward(reflectance, pairs)[0]


def _constancy_forward(reflectance, pairs):
    # In circular order, all partners k steps ahead are one slice, and so are all partners k steps behind.
    count = len(reflectance)
    twice = reflectance[pairs.order[jnp.arange(2 * count) % pairs.size]]
    own, inside = twice[:count], (jnp.arange(count) < pairs.size)[:, None]

    def seen_from(steps):
        return own - jax.lax.dynamic_slice_in_dim(twice, steps, count)

    gaps = [seen_from(steps) for steps in pairs.ahead]
    back = [seen_from(pairs.size - steps) for steps in pairs.ahead]
    energy = jnp.sum(jnp.where(inside, sum(gap**2 for gap in gaps), 0.0)) / pairs.size
    return energy, (2 / pairs.size * jnp.where(inside, sum(gaps) + sum(back), 0.0), pairs)


def _constancy_backward(saved, cotangent):
    in_circle, pairs = saved
    return cotangent * in_circle[pairs.place], None


constancy_energy.defvjp(_constancy_forward, _constancy_backward)


def stabilisation_energy(corrections: Float[Array, "N 3"]) -> Float[Array, ""]:
    """E_sta (eq. 15) before its weight: 1/N Σ_i ‖F_i‖², mm²."""
    return jnp.mean(jnp.sum(corrections**2, axis=1))
