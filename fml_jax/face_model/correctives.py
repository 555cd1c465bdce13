"""The trainable level of the face model: correctives F(δ|Θ), eq. 1–2 and the supplement's eq. 1–3.

A corrective space is learned together with the network that regresses its parameters δ. At the
start F(0) = 0, and the modes are small random vectors. A network that predicts δ = 0 then predicts the
base level; δ and the offset receive gradients at once, the modes as soon as δ differs from zero.
(If both the modes and δ were zero, neither would ever receive a gradient.)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from fml_jax.ops.arrays import Array
from fml_jax.ops.products import Dense, product

# Standard deviation of a vertex's initial correction when all C parameters are drawn from N(0, 1).
GEOMETRY_SPREAD = 1.0  # mm
REFLECTANCE_SPREAD = 0.05  # RGB


class Corrections(NamedTuple):
    """The corrections that the correctives add to each vertex."""

    geometry: jax.Array  # F_g, [N, 3] mm
    reflectance: jax.Array  # F_r, [N, 3] RGB


class CorrectiveSpace(nn.Module):
    """F(δ|Θ): C parameters → a vector for each of N vertices; C is the length of δ.

    The last map is affine, with modes [K, 3 N] (the three coordinates of a vertex are adjacent) and an offset [N, 3].
    The base level stores modes as [K, N, 3]; the flat layout trains faster on CPUs.
    With C = 0 there are no parameters and F ≡ 0.
    """

    vertex_count: int
    spread: float
    nonlinearities: int = 0  # 0: Mδ + b, the paper's choice; 1 and 2: ReLU layers of width C before it

    @nn.compact
    def __call__(self, delta: Float[Array, "*batch C"]) -> Float[Array, "*batch N 3"]:
        size = delta.shape[-1]
        if size == 0:
            return jnp.zeros((*delta.shape[:-1], self.vertex_count, 3), delta.dtype)
        layers = [self._hidden_layer(size, k) for k in range(self.nonlinearities)]
        scale = nn.initializers.normal(self.spread / size**0.5)
        modes = self.param("modes", scale, (size, 3 * self.vertex_count))

        def without_offset(delta):
            for layer in layers:
                delta = nn.relu(layer(delta))
            return product(delta, modes).reshape(*delta.shape[:-1], self.vertex_count, 3)

        offset = self.param("offset", lambda _: -without_offset(jnp.zeros(size)))  # F(0) = 0 at the start
        return without_offset(delta) + offset

    def _hidden_layer(self, size, k):
        # Random offsets leave half of the units alive at δ = 0, where a ReLU's gradient would vanish.
        return Dense(size, bias_init=nn.initializers.normal(1.0), name=f"layer_{k}")


class Correctives(nn.Module):
    """F_g and F_r, each with its own parameters under "geometry" and "reflectance"."""

    vertex_count: int
    nonlinearities: int = 0

    def setup(self) -> None:
        """Makes both spaces; called by Flax."""
        self.geometry = CorrectiveSpace(self.vertex_count, GEOMETRY_SPREAD, self.nonlinearities)
        self.reflectance = CorrectiveSpace(self.vertex_count, REFLECTANCE_SPREAD, self.nonlinearities)

    def __call__(self, geometry: Float[Array, "*batch C_g"], reflectance: Float[Array, "*batch C_r"]) -> Corrections:
        return Corrections(self.geometry(geometry), self.reflectance(reflectance))


def init_correctives(correctives: Correctives, sizes: tuple[int, int], key: jax.Array) -> dict:
    """Fresh Θ for (C_g, C_r) parameters; a space without parameters has no entry."""
    return correctives.init(key, *(jnp.zeros(size) for size in sizes)).get("params", {})


def final_geometry(vertices: Float[Array, "N 3"], corrections: Corrections) -> Float[Array, "N 3"]:
    """v_f = v_b(α) + F_g(δ_g|Θ_g) (eq. 1), mm, of the base level's vertices v_b (`base.geometry`)."""
    return vertices + corrections.geometry


def final_reflectance(reflectances: Float[Array, "N 3"], corrections: Corrections) -> Float[Array, "N 3"]:
    """r_f = r_b(β) + F_r(δ_r|Θ_r) (eq. 2), RGB, not clipped, of the base level's r_b (`base.reflectance`)."""
    return reflectances + corrections.reflectance
