"""Light and reflectance that explain a crop while the geometry stays: no descent, a few linear problems."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.topology import normals_at
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.illumination import sh_basis
from fml_jax.image_formation.points import seen_by_camera
from fml_jax.ops.arrays import Array
from fml_jax.ops.dot_products import squared_lengths
from fml_jax.ops.sampling import sample_bilinear

# How much lips and where beards grow count beside bare skin. At 0 a fit paints them at will.
BESIDE_SKIN = 0.15

# How much brows and the skin about them count. Fair brows ask for less than none, in colours that overshoot at the rim.
ABOUT_BROWS = 2.0
_BROW_REACH = 9.0  # mm

# What holds β to the network's where `ColourSolver` solves, per squared change; `solve_colours` says of what.
PRIOR = 2e-5

# What holds the eyes, with which no colour is compared, to the network's: per mean squared change of their reflectance.
EYES = 0.1

_STRIDE = 6  # of the vertices that tell of colours, of which `ColourSolver` looks at
_ROUNDS = 2

_LIGHT_PRIOR = 1e-3
_SMALLEST_RESIDUAL = 0.01  # RGB distance; keeps the weights of vertices that fit exactly finite


class Surface(NamedTuple):
    """Vertices whose colours are compared with the crop's, S of them."""

    mean: jax.Array  # [S, 3] of the reflectance model
    modes: jax.Array  # [K_r, S, 3]
    basis: jax.Array  # [S, 9], H_b of the vertices' normals
    seen: jax.Array  # [S, 3], the crop's colours
    members: jax.Array  # [S], how much each counts, 0 where it is not visible


def solve_colours(
    surface: Surface,
    gamma: Float[Array, "9 3"],
    beta: Float[Array, "K"],
    centre: Float[Array, "K"],
    prior: float | Float[Array, "K K"],
    rounds: int,
) -> tuple[Float[Array, "9 3"], Float[Array, "K"]]:
    """γ and β that minimise Σ members ‖seen − r(β) ⊙ Hγ‖₂ / Σ members + ½ (β − centre)ᵀ P (β − centre) (eq. 9 and 11).

    Each alone is a linear problem under the ℓ2,1 norm's usual reweighting (by one over a vertex's
    last residual), so that a few solutions in turn replace many steps of descent. Light costs next to
    nothing: it is solved alone before the first round, so that skin does not begin with what is the
    light's, and after the last.

    Args:
      gamma, beta: where to begin; the light keeps near its beginning where the face does not tell it.
      prior: P, or a number in place of so many times the identity.
      rounds: how often both are solved in turn.
    """
    mean, modes, basis, seen, members = surface
    share = members / jnp.maximum(members.sum(), 1.0)

    def light(reflectances, weights):
        def channel(r, colours, start):
            columns = r[:, None] * basis
            weighted = (weights[:, None] * columns).T
            return _solved(weighted @ columns, weighted @ colours, _LIGHT_PRIOR, start)

        return jax.vmap(channel, in_axes=1, out_axes=1)(reflectances, seen, gamma)

    def skin(lighting, weights):
        lit = basis @ lighting
        columns = (modes * lit).reshape(len(modes), -1)
        weighted = columns * jnp.repeat(weights, 3)
        return _solved(weighted @ columns.T, weighted @ (seen - mean * lit).ravel(), prior, centre)

    def relit(lighting, b):
        """The light, and the weights that it was solved with."""
        reflectances = mean + jnp.tensordot(b, modes, axes=1)
        distance = jnp.sqrt(squared_lengths(seen - reflectances * (basis @ lighting)))
        weights = share / jnp.maximum(distance, _SMALLEST_RESIDUAL)
        return light(reflectances, weights), weights

    def round_(state, _):
        lighting, weights = relit(*state)
        return (lighting, skin(lighting, weights)), None

    (gamma, beta), _ = jax.lax.scan(round_, (relit(gamma, beta)[0], beta), length=rounds)
    return relit(gamma, beta)[0], beta


def _solved(normal, right, prior, centre):
    """The least squares of these normal equations, held to a centre."""
    prior = prior * jnp.eye(len(normal)) if jnp.ndim(prior) == 0 else prior
    return jax.scipy.linalg.solve(normal + prior, right + prior @ centre, assume_a="pos")


def colour_weights(model: BaseModel) -> Float[np.ndarray, "N"]:
    """How much a vertex tells of a face's colours.

    Eyes tell nothing: what looks aside has white where the model has its iris, and would bleach it.
    """
    regions = {name: np.asarray(mask, bool) for name, mask in model.regions.items()}
    mean = np.asarray(model.mean)
    from_brows, _ = cKDTree(mean[regions["brows"]]).query(mean)
    weights = np.where(regions["skin"], 1.0, BESIDE_SKIN)
    weights[from_brows < _BROW_REACH] = ABOUT_BROWS
    return weights.astype(np.float32) * (regions["face"] & ~regions["eyes"])


class ColourSolver(NamedTuple):
    """Light and reflectance of a network's answer, solved again on its crop.

    A network says both from the crop as a whole, and misses its colours by more than its geometry
    makes it. Every so many of the face's vertices are enough for the numbers that are sought.
    """

    rows: jax.Array  # [S], the vertices it looks at
    rings: jax.Array  # [W, S], their columns of `Topology.rings`
    weights: jax.Array  # [S], how much each tells
    mean: jax.Array  # [S, 3], their rows of the reflectance model
    modes: jax.Array  # [K_r, S, 3]
    prior: jax.Array  # [K_r, K_r], what holds β to the network's

    @classmethod
    def of(cls, model: BaseModel) -> "ColourSolver":
        """The solver for faces of a model."""
        weights = colour_weights(model)
        rows = np.flatnonzero(weights)[::_STRIDE]
        eyes = model.reflectance[:, np.flatnonzero(np.asarray(model.regions["eyes"], bool))]
        of_eyes = eyes.reshape(len(eyes), -1)
        return cls(
            rows=jnp.asarray(rows),
            rings=model.topology.rings[:, rows],
            weights=jnp.asarray(weights[rows]),
            mean=model.reflectance_mean[rows],
            modes=model.reflectance[:, rows],
            prior=PRIOR * jnp.eye(len(eyes)) + EYES / eyes.shape[1] * of_eyes @ of_eyes.T,
        )

    def solve(self, code: FaceCode, vertices: Float[Array, "N 3"], crop: Float[Array, "240 240 3"]) -> FaceCode:
        """The code with γ and β that explain a crop better. Pure; can be jitted and vmapped.

        Args:
          vertices: the code's geometry, mm, model space.
          crop: RGB in [0, 1].
        """
        positions = to_camera(vertices, code.rotation, code.translation)
        normals = normals_at(self.rows, self.rings, positions)
        pixels = project(positions[self.rows])
        surface = Surface(
            mean=self.mean,
            modes=self.modes,
            basis=sh_basis(normals).T,
            seen=sample_bilinear(crop, pixels),
            members=seen_by_camera(positions[self.rows], normals, pixels) * self.weights,
        )
        gamma, beta = solve_colours(surface, code.illumination, code.reflectance, code.reflectance, self.prior, _ROUNDS)
        return code.replace(illumination=gamma, reflectance=beta)
