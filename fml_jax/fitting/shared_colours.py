"""One reflectance for several crops of a person, and a light for each."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from fml_jax.codes import FaceCode
from fml_jax.fitting.colours import ColourSolver, Surface, least_squares, skin_equations, solve_light
from fml_jax.ops.arrays import Array

ROUNDS = 3  # of alternations between the lights and the reflectance

_OF_EACH: Any = Surface._make((None, None, 0, 0, 0))  # axes of B surfaces; mean and modes are of all


def solve_shared_colours(
    solver: ColourSolver,
    codes: FaceCode,
    vertices: Float[Array, "B N 3"],
    *,
    crops: Float[Array, "B 240 240 3"],
    used: Float[Array, "B"],
) -> FaceCode:
    """B codes with one β and a γ each: Σ_i of the energies that `solve_colours` minimises for one crop.

    The prior is about the mean of the codes' β.

    Args:
      vertices: the codes' geometry, mm, model space.
      crops: RGB in [0, 1].
      used: the weight of each crop, 0 for one that fills up a batch.
    """
    surfaces = jax.vmap(solver.surface)(codes, vertices, crops)._replace(mean=solver.mean, modes=solver.modes)
    share = used / used.sum()
    centre = share @ codes.reflectance

    def relit(lights, beta):
        def of_one(surface, gamma, start):
            return solve_light(surface, gamma, beta, start=start)

        return jax.vmap(of_one, in_axes=(_OF_EACH, 0, 0))(surfaces, lights, codes.illumination)

    def round_(state, _):
        lights, weights = relit(*state)
        normal, right = jax.vmap(skin_equations, in_axes=(_OF_EACH, 0, 0))(surfaces, lights, weights)
        beta = least_squares(jnp.tensordot(share, normal, 1), share @ right, prior=solver.prior, centre=centre)
        return (lights, beta), None

    (lights, beta), _ = jax.lax.scan(round_, (relit(codes.illumination, centre)[0], centre), length=ROUNDS)
    lights, _ = relit(lights, beta)
    return codes.replace(illumination=lights, reflectance=jnp.broadcast_to(beta, codes.reflectance.shape))
