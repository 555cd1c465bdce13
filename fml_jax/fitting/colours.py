"""Light and reflectance of one crop for fixed geometry, by iteratively reweighted least squares."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel, face_rings
from fml_jax.face_model.topology import normals_at
from fml_jax.fitting.energy import WEIGHTS
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.illumination import sh_basis
from fml_jax.image_formation.occlusion import seen_share
from fml_jax.image_formation.points import form_points, seen_by_camera
from fml_jax.ops.arrays import Array
from fml_jax.ops.dot_products import squared_lengths
from fml_jax.ops.sampling import sample_bilinear

# Weight of lips and of places where beards grow, relative to bare skin. At 0 their colours would be arbitrary.
BESIDE_SKIN = 0.15

# Weight of brows and the skin around them. With a lower weight the fit of fair brows overshoots at their edges.
AROUND_BROWS = 2.0
_BROW_REACH = 9.0  # mm

# Prior of `ColourSolver`: on β's squared distance from the network's β, relative to the mean residual.
PRIOR = 1e-4

# Prior of `ColourSolver` on the eyes, whose colours are not compared: per mean squared change of their reflectance.
EYES = 0.1

# Prior of `ColourSolver` on how brows differ from skin, likewise. The network's brows are dark; a fit of the whole face
# turns them pale where hair over the forehead or a brow a few pixels away is compared with them.
BROW_CONTRAST = 3.0

# Prior of `ColourSolver` on the mean reflectance of the skin, likewise: the network's tone is kept. The solver cannot
# determine it, as brighter skin under weaker light has the same colours.
TONE = 3.0

_STRIDE = 6  # `ColourSolver` uses every sixth of the vertices that have a weight
_SOLVER_ROUNDS = 2

ROUNDS = 8  # of `fit_colours`

# Prior of `fit_colours` on the light. One photo cannot separate the tint of skin from that of light: with a weak prior
# pale skin becomes brown skin in blue light, and the eyes, which are not compared, become blue.
KEPT_LIGHT = 2.0

LIGHT_PRIOR = 1e-3
_SMALLEST_RESIDUAL = 0.01  # RGB distance; keeps weights finite where the residual is zero


class Surface(NamedTuple):
    """S vertices whose colours are compared with those of a crop."""

    mean: Array  # [S, 3] of the reflectance model
    modes: Array  # [K_r, S, 3]
    basis: Array  # [S, 9], H_b of the vertices' normals
    observed: Array  # [S, 3], the crop's colours
    members: Array  # [S], weight of each vertex, 0 where it is not visible


def solve_colours(
    surface: Surface,
    gamma: Float[Array, "9 3"],
    beta: Float[Array, "K"],
    *,
    centre: Float[Array, "K"],
    prior: float | Float[Array, "K K"],
    rounds: int,
    light_prior: float = LIGHT_PRIOR,
) -> tuple[Float[Array, "9 3"], Float[Array, "K"]]:
    """γ and β that minimise Σ members ‖observed − r(β) ⊙ Hγ‖₂ / Σ members + ½ (β − centre)ᵀ P (β − centre) (eq. 9, 11).

    For either unknown alone this is a linear problem if the ℓ2,1 norm is replaced by squares that are weighted by the
    inverse of each vertex's previous residual. The light is also solved before the first round, so that the reflectance
    does not absorb the shading, and after the last round.

    Args:
      gamma, beta: initial values; a weak prior keeps γ near its initial value.
      prior: P, or a number p for P = p I.
      rounds: number of alternations.
      light_prior: half of it weighs squared changes of γ from its initial value.
    """

    def relit(lighting, b):
        return solve_light(surface, lighting, b, start=gamma, prior=light_prior)

    def round_(state, _):
        lighting, weights = relit(*state)
        normal, right = skin_equations(surface, lighting, weights)
        return (lighting, least_squares(normal, right, prior=prior, centre=centre)), None

    (solved, beta), _ = jax.lax.scan(round_, (relit(gamma, beta)[0], beta), length=rounds)
    return relit(solved, beta)[0], beta


def solve_light(
    surface: Surface,
    gamma: Float[Array, "9 3"],
    beta: Float[Array, "K"],
    *,
    start: Float[Array, "9 3"],
    prior: float = LIGHT_PRIOR,
) -> tuple[Float[Array, "9 3"], Float[Array, "S"]]:
    """γ for a known β: one of the alternations of `solve_colours`.

    Args:
      gamma: its residuals weigh the vertices.
      start: half of `prior` weighs squared changes from it.

    Returns:
      γ, and the weights of the vertices.
    """
    reflectances = surface.mean + jnp.tensordot(beta, surface.modes, axes=1)
    distance = jnp.sqrt(squared_lengths(surface.observed - reflectances * (surface.basis @ gamma)))
    share = surface.members / jnp.maximum(surface.members.sum(), 1.0)
    weights = share / jnp.maximum(distance, _SMALLEST_RESIDUAL)

    def channel(r, colours, before):
        columns = r[:, None] * surface.basis
        weighted = (weights[:, None] * columns).T
        return least_squares(weighted @ columns, weighted @ colours, prior=prior, centre=before)

    return jax.vmap(channel, in_axes=1, out_axes=1)(reflectances, surface.observed, start), weights


def skin_equations(
    surface: Surface, gamma: Float[Array, "9 3"], weights: Float[Array, "S"]
) -> tuple[Float[Array, "K K"], Float[Array, "K"]]:
    """The normal equations of β for a known γ, without a prior: the matrix and the right side."""
    lit = surface.basis @ gamma
    columns = (surface.modes * lit).reshape(len(surface.modes), -1)
    weighted = columns * jnp.repeat(weights, 3)
    return weighted @ columns.T, weighted @ (surface.observed - surface.mean * lit).ravel()


def least_squares(
    normal: Float[Array, "K K"],
    right: Float[Array, "K"],
    *,
    prior: float | Float[Array, "K K"],
    centre: Float[Array, "K"],
) -> Float[Array, "K"]:
    """The solution of normal equations under a quadratic prior about a centre."""
    prior = prior * jnp.eye(len(normal)) if jnp.ndim(prior) == 0 else prior
    return jax.scipy.linalg.solve(normal + prior, right + prior @ centre, assume_a="pos")


def _mean_square(modes):
    """The matrix M [K, K] with cᵀ M c the mean over vertices of ‖Σ_k c_k modes_k‖²."""
    flat = modes.reshape(len(modes), -1)
    return flat @ flat.T / max(modes.shape[1], 1)  # meshes without eyes have none of their vertices


def colour_weights(model: BaseModel) -> Float[np.ndarray, "N"]:
    """The weight of each vertex where colours are fitted; bare skin has 1.

    Eyes have 0: where an eye looks aside, the photo is white at the model's iris, and so would be the fit.
    """
    regions = {name: np.asarray(mask, bool) for name, mask in model.regions.items()}
    mean = np.asarray(model.mean)
    from_brows, _ = cKDTree(mean[regions["brows"]]).query(mean)
    weights = np.where(regions["skin"], 1.0, BESIDE_SKIN)
    weights[from_brows < _BROW_REACH] = AROUND_BROWS
    return weights.astype(np.float32) * (regions["face"] & ~regions["eyes"])


@jax.jit
def fit_colours(
    model: BaseModel, code: FaceCode, crop: Float[Array, "240 240 3"], *, mask: Float[Array, "240 240"] | None = None
) -> FaceCode:
    """The code with the γ and β that minimise E_photo and E_std (eq. 9 and 11) for its geometry.

    Args:
      model: the mask or weights of its region "face" select the vertices.
      crop: RGB in [0, 1].
      mask: 1 where the crop shows the face; None: everywhere.
    """
    points = form_points(model, code)
    shown = jnp.ones(()) if mask is None else sample_bilinear(mask[..., None], points.pixels)[:, 0]
    surface = Surface(
        mean=model.reflectance_mean,
        modes=model.reflectance,
        basis=sh_basis(points.normals).T,
        observed=sample_bilinear(crop, points.pixels),
        members=(shown * points.visible * model.regions["face"]).astype(crop.dtype),
    )
    prior = 2 * WEIGHTS.reg * WEIGHTS.rstd / WEIGHTS.photo  # E_std counts the whole of β², `solve_colours` half of it
    centre = jnp.zeros_like(code.reflectance)
    gamma, beta = solve_colours(
        surface,
        code.illumination,
        code.reflectance,
        centre=centre,
        prior=prior,
        rounds=ROUNDS,
        light_prior=KEPT_LIGHT,
    )
    return code.replace(illumination=gamma, reflectance=beta)


class ColourSolver(NamedTuple):
    """Solves light and reflectance of a network's prediction again, on its crop.

    A network predicts both from the whole crop, with larger colour errors than its geometry causes. A sixth of the
    face's vertices is enough to determine these parameters. A pytree: it may be an argument of jitted functions.
    """

    rows: jax.Array  # [S], the vertices that are compared
    rings: jax.Array  # [W, S], their columns of `face_rings`
    weights: jax.Array  # [S], see `colour_weights`
    mean: jax.Array  # [S, 3], their rows of the reflectance model
    modes: jax.Array  # [K_r, S, 3]
    prior: jax.Array  # [K_r, K_r], P of `solve_colours`, about the network's β

    @classmethod
    def of(cls, model: BaseModel) -> "ColourSolver":
        """The solver for faces of a model, which needs the regions "face", "skin", "brows" and "eyes"."""
        weights = colour_weights(model)
        rows = np.flatnonzero(weights)[::_STRIDE]
        modes, rings = np.asarray(model.reflectance), np.asarray(face_rings(model))
        eyes, brows, skin = (modes[:, np.asarray(model.regions[name], bool)] for name in ("eyes", "brows", "skin"))
        tone = skin.mean(axis=1, keepdims=True)
        near_networks = PRIOR * np.eye(len(eyes), dtype=np.float32)
        parts = {
            "rows": rows,
            "rings": rings[:, rows],
            "weights": weights[rows],
            "mean": np.asarray(model.reflectance_mean)[rows],
            "modes": modes[:, rows],
            "prior": near_networks
            + EYES * _mean_square(eyes)
            + BROW_CONTRAST * _mean_square(brows - tone)
            + TONE * _mean_square(tone),
        }
        return cls(**jax.device_put(parts))

    def solve(
        self,
        code: FaceCode,
        vertices: Float[Array, "N 3"],
        crop: Float[Array, "240 240 3"],
        *,
        known: Float[Array, "60 60"] | None = None,
    ) -> FaceCode:
        """The code with the γ and β that fit a crop best. Pure; may be jitted and vmapped.

        Args:
          vertices: the code's geometry, mm, model space.
          crop: RGB in [0, 1].
          known: probabilities that no object hides the face.
        """
        gamma, beta = solve_colours(
            self.surface(code, vertices, crop, known=known),
            code.illumination,
            code.reflectance,
            centre=code.reflectance,
            prior=self.prior,
            rounds=_SOLVER_ROUNDS,
        )
        return code.replace(illumination=gamma, reflectance=beta)

    def surface(
        self,
        code: FaceCode,
        vertices: Float[Array, "N 3"],
        crop: Float[Array, "240 240 3"],
        *,
        crop_from_camera: Float[Array, "2 3"] | None = None,
        known: Float[Array, "60 60"] | None = None,
    ) -> Surface:
        """The vertices that are compared and their colours in a crop; arguments as those of `solve`.

        Args:
          crop_from_camera: an affine from the pixels of the code's camera to those of the crop, if they differ.
        """
        positions = to_camera(vertices, code.rotation, code.translation)
        normals = normals_at(self.rows, self.rings, positions)
        pixels = project(positions[self.rows])
        if crop_from_camera is not None:
            pixels = pixels @ crop_from_camera[:, :2].T + crop_from_camera[:, 2]
        members = seen_by_camera(positions[self.rows], normals, pixels) * self.weights
        return Surface(
            mean=self.mean,
            modes=self.modes,
            basis=sh_basis(normals).T,
            observed=sample_bilinear(crop, pixels),
            members=members if known is None else members * seen_share(known, pixels),
        )
