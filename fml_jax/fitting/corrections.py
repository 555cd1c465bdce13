"""Reflectance corrections of one photo: what the model's modes cannot express, vertex by vertex.

The modes are learned from many people and contain no stubble, mole, blush or lipstick. Training learns a space of
corrections F_r(δ_r) (eq. 2) from many photos; for one photo F_r itself is unknown, and two terms regularise it:
stabilisation, as eq. 15 for geometry, and squared differences of neighbours in place of eq. 12.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.topology import Topology, neighbour_counts, one_ring_sum
from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.image_formation.points import Points
from fml_jax.image_formation.raster import rasterize
from fml_jax.ops.arrays import Array
from fml_jax.ops.dot_products import squared_lengths

# Relative to Σ ‖I(u_i) − c_i‖₂ over visible vertices. With smaller values the corrections also reproduce glasses and
# highlights; with larger values they reproduce only half of brows and beards. Both are of the colours that corrections
# cause: the same photo of brighter skin under weaker light takes larger corrections.
SMOOTHNESS = 2.0  # per squared difference of neighbours, on the standard mesh; more on a finer one
STABILISATION = 1.5  # per squared correction of a vertex
_STANDARD_FACE = 8447  # vertices in the region "face" of the standard mesh

_ROUNDS = 4  # of weighted linear problems, for the ℓ2,1 norm
_SOLVER_STEPS = 40  # of conjugate gradients in each
_SMALLEST_RESIDUAL = 0.02  # RGB distance under which the norm is replaced by a square

_GRAZING = (
    0.5  # cosine of the viewing angle under which a vertex's weight falls to 0: small errors of shape matter there
)
_BEHIND = 4.0  # mm; a vertex less than this behind the visible surface counts as visible
_RASTER = 2 * CROP_SIZE


def fit_corrections(
    model: BaseModel,
    points: Points,
    gaps: Float[np.ndarray, "N 3"],
    *,
    light: Float[np.ndarray, "N 3"],
    used: Bool[np.ndarray, "N"],
) -> Float[np.ndarray, "N 3"]:
    """F_r of a face whose points are compared with its crop.

    Eyes are not corrected: where an eye looks aside, the photo is white at the model's iris. Hidden vertices follow
    their neighbours.

    Args:
      points: of the face, NumPy arrays.
      gaps: the crop's colours at the points less the base level's, RGB.
      light: shading, the factor on reflectance.
      used: vertices that may be compared.

    Raises:
      ValueError: the face model has no region "face".
    """
    correctable = _correctable(model)
    members = _members(model, points) * (correctable & used)
    density = np.sum(np.asarray(model.regions["face"])) / _STANDARD_FACE
    smoothness = jnp.float32(SMOOTHNESS * density)
    corrections = solve_corrections(model.topology, gaps, light, members=members, smoothness=smoothness)
    return np.asarray(corrections) * correctable[:, None]


@jax.jit
def solve_corrections(
    topology: Topology,
    gaps: Float[Array, "N 3"],
    light: Float[Array, "N 3"],
    *,
    members: Float[Array, "N"],
    smoothness: Float[Array, ""],
) -> Float[Array, "N 3"]:
    """F that minimises Σ_i m_i ‖gap_i − F_i ⊙ light_i‖₂ + l² (smoothness Σ_{edges ij} ‖F_i − F_j‖² + s Σ_i ‖F_i‖²).

    s is STABILISATION, and l² the mean squared light over the members.

    Args:
      gaps: the photo's colours less the base level's, RGB.
      light: the factor on reflectance.
      members: m, the weight of each vertex; 0 where it is not visible.
    """
    counts = neighbour_counts(topology)[:, None]
    squared_light = jnp.sum(members[:, None] * light**2) / jnp.maximum(3 * members.sum(), 1e-6)
    bright = jnp.where(members.any(), squared_light, 1.0)
    smooth, small = bright * smoothness, bright * STABILISATION

    def round_(found, _):
        residual = jnp.sqrt(squared_lengths(gaps - found * light))
        weights = (members / jnp.maximum(residual, _SMALLEST_RESIDUAL))[:, None]

        def normal(values):
            rough = counts * values - one_ring_sum(values, topology)
            return (weights * light**2 + 2 * small) * values + 2 * smooth * rough

        diagonal = weights * light**2 + 2 * small + 2 * smooth * counts
        right = weights * light * gaps
        solve = jax.scipy.sparse.linalg.cg
        return solve(normal, right, x0=found, maxiter=_SOLVER_STEPS, M=lambda values: values / diagonal)[0], None

    return jax.lax.scan(round_, jnp.zeros_like(gaps), length=_ROUNDS)[0]


def _members(model: BaseModel, points: Points) -> Float[np.ndarray, "N"]:
    """The weight of each vertex: 1 where it faces the camera, 0 where something else is in front of it."""
    towards = -np.sum(points.positions * points.normals, axis=1) / np.linalg.norm(points.positions, axis=1)
    shown = points.visible & ~_hidden(points, np.asarray(model.topology.triangles))
    return (shown * np.clip(towards / _GRAZING, 0, 1)).astype(np.float32)


def _correctable(model: BaseModel) -> Bool[np.ndarray, "N"]:
    if "face" not in model.regions:
        raise ValueError(f"the face model {model.name} has no region 'face', which is what can be corrected")
    face = np.asarray(model.regions["face"], bool)
    return face & ~np.asarray(model.regions.get("eyes", np.zeros_like(face)), bool)


def _hidden(points: Points, triangles: np.ndarray) -> Bool[np.ndarray, "N"]:
    """Vertices behind another part of the face, as a cheek behind the nose; undefined for vertices outside the crop."""
    places = (np.asarray(points.pixels) + 0.5) * (_RASTER / CROP_SIZE) - 0.5
    depth = np.asarray(points.positions)[:, 2]
    triangle, barycentric = rasterize(places, depth, triangles, height=_RASTER, width=_RASTER)
    surface = np.where(triangle >= 0, np.sum(barycentric * depth[triangles[triangle]], axis=-1), np.inf)
    x, y = np.clip(np.rint(places), 0, _RASTER - 1).astype(int).T
    return depth > surface[y, x] + _BEHIND
