"""The final level of one photo: reflectance that the model's modes cannot say, corrected vertex by vertex.

Modes that stand for many people know no stubble, mole, blush or lipstick. Where training has a space for F_r(δ_r)
(eq. 2) to learn from many photos, one photo has F_r itself, and what holds it: stabilisation, as eq. 15 has it for
geometry, and in place of eq. 12 squared differences of neighbours, which hold a slope too.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.topology import Topology, neighbour_counts, one_ring_sum
from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.image_formation.illumination import shading
from fml_jax.image_formation.points import Points, form_points_of, inside_image
from fml_jax.image_formation.raster import rasterize
from fml_jax.ops.arrays import Array
from fml_jax.ops.dot_products import squared_lengths
from fml_jax.ops.sampling import sample_bilinear
from fml_jax.photos.crops import crop_photo
from fml_jax.reconstruction.reconstruction import Reconstruction

# Against Σ ‖I(u_i) − c_i‖₂ over visible vertices. Less of both takes in all that is seen, glasses and highlights
# too; more of both leaves brows and beards half said.
SMOOTHNESS = 4.0  # per squared difference of neighbours, on the standard mesh; more on a finer one
STABILISATION = 3.0  # per squared correction of a vertex
_STANDARD_FACE = 8447  # vertices that the standard mesh has in its region "face"

_ROUNDS = 4  # of weighted linear problems, for the ℓ2,1 norm
_SOLVER_STEPS = 40  # of conjugate gradients in each
_SMALLEST_RESIDUAL = 0.02  # RGB distance under which the norm is taken as a square

_GRAZING = 0.5  # cosine under which a vertex counts less and less: small errors of shape show other things there
_BEHIND = 4.0  # mm that a vertex may lie behind the surface that hides it, and still count as part of it
_RASTER = 2 * CROP_SIZE


def reflectance_corrections(
    face: Reconstruction, used: Bool[np.ndarray, "N"] | None = None
) -> Float[np.ndarray, "N 3"]:
    """F_r of a face on its photo, as its code has its geometry and light.

    Eyes have none (what looks aside has white where the model has its iris), and what the photo does not show of
    the face only what it takes from its neighbours.

    Args:
      used: vertices that may be looked at (the others are for scoring the fit).

    Raises:
      ValueError: the face model has no region "face".
    """
    correctable = _correctable(face.model)
    points, seen = seen_points(face)
    light = np.asarray(shading(points.normals, face.code.illumination))
    base_colours = points.colours - face.reflectance_corrections * light
    members = _members(face.model, points) * correctable
    members = members * inside_image(face.projected, *face.photo.shape[:2])  # the crop goes on beyond the photo
    members = members if used is None else members * used
    density = np.sum(np.asarray(face.model.regions["face"])) / _STANDARD_FACE
    smoothness = jnp.float32(SMOOTHNESS * density)
    corrections = solve_corrections(face.model.topology, seen - base_colours, light, members, smoothness)
    return np.asarray(corrections) * correctable[:, None]


@jax.jit
def solve_corrections(
    topology: Topology,
    gaps: Float[Array, "N 3"],
    light: Float[Array, "N 3"],
    members: Float[Array, "N"],
    smoothness: Float[Array, ""],
) -> Float[Array, "N 3"]:
    """F that minimises Σ_i m_i ‖gap_i − F_i ⊙ light_i‖₂ + smoothness Σ_{edges ij} ‖F_i − F_j‖² + STABILISATION Σ_i ‖F_i‖².

    Args:
      gaps: what the photo shows less what the base level makes of it, RGB.
      light: the factor on reflectance.
      members: m, how much each vertex counts; 0 where it is not seen.
    """
    counts = neighbour_counts(topology)[:, None]

    def round_(found, _):
        residual = jnp.sqrt(squared_lengths(gaps - found * light))
        weights = (members / jnp.maximum(residual, _SMALLEST_RESIDUAL))[:, None]

        def normal(values):
            rough = counts * values - one_ring_sum(values, topology)
            return (weights * light**2 + 2 * STABILISATION) * values + 2 * smoothness * rough

        diagonal = weights * light**2 + 2 * STABILISATION + 2 * smoothness * counts
        right = weights * light * gaps
        solve = jax.scipy.sparse.linalg.cg
        return solve(normal, right, x0=found, maxiter=_SOLVER_STEPS, M=lambda values: values / diagonal)[0], None

    return jax.lax.scan(round_, jnp.zeros_like(gaps), length=_ROUNDS)[0]


def seen_points(face: Reconstruction) -> tuple[Points, Float[np.ndarray, "N 3"]]:
    """The points of a face as it stands, and its crop's colours at them."""
    crop = jnp.asarray(crop_photo(face.photo, face.crop_from_photo), jnp.float32) / 255
    return jax.device_get(_seen_points(face.model.topology, face.vertices, face.reflectance, face.code, crop))


@jax.jit
def _seen_points(topology, vertices, reflectance, code, crop):
    points = form_points_of(topology, vertices, reflectance, code)
    return points, sample_bilinear(crop, points.pixels)


def _members(model: BaseModel, points: Points) -> Float[np.ndarray, "N"]:
    """How much each vertex tells: in full where the camera looks at it, nothing where something else is before it."""
    towards = -np.sum(points.positions * points.normals, axis=1) / np.linalg.norm(points.positions, axis=1)
    shown = points.visible & ~_hidden(points, np.asarray(model.topology.triangles))
    return (shown * np.clip(towards / _GRAZING, 0, 1)).astype(np.float32)


def _correctable(model: BaseModel) -> Bool[np.ndarray, "N"]:
    if "face" not in model.regions:
        raise ValueError(f"the face model {model.name} has no region 'face', which is what can be corrected")
    face = np.asarray(model.regions["face"], bool)
    return face & ~np.asarray(model.regions.get("eyes", np.zeros_like(face)), bool)


def _hidden(points: Points, triangles: np.ndarray) -> Bool[np.ndarray, "N"]:
    """Vertices behind another part of the face, as a cheek is behind the nose; outside the crop the answer means nothing."""
    places = (points.pixels + 0.5) * (_RASTER / CROP_SIZE) - 0.5
    depth = points.positions[:, 2]
    triangle, barycentric = rasterize(places, depth, triangles, _RASTER, _RASTER)
    surface = np.where(triangle >= 0, np.sum(barycentric * depth[triangles[triangle]], axis=-1), np.inf)
    x, y = np.clip(np.rint(places), 0, _RASTER - 1).astype(int).T
    return depth > surface[y, x] + _BEHIND
