"""The base level of the face model: two affine maps, eq. 3 and 4."""

from collections.abc import Callable

import jax
import numpy as np
from flax import struct
from jaxtyping import Bool, Float, Int

from fml_jax.codes import CodeSizes
from fml_jax.errors import InputError
from fml_jax.face_model.landmarks import Landmarks
from fml_jax.face_model.topology import Topology, make_topology, rings_of
from fml_jax.ops.arrays import Array
from fml_jax.ops.modes import weighted_sum


class BaseModel(struct.PyTreeNode):
    """A face model of N vertices, frozen; arrays only, so that it passes through jit.

    Model space: mm, x to the subject's left, y up, z out of the face, origin at the head's centre.
    Reflectance: sRGB-encoded RGB in [0, 1]. Modes are multiplied by their standard deviations, so
    codes are in units of standard deviations.
    """

    mean: jax.Array  # a_g, [N, 3]
    identity: jax.Array  # b_k^g, k ≤ m_s, times σ: [80, N, 3]
    expression: jax.Array  # b_k^g, m_s < k ≤ m_s + m_e, times σ: [64, N, 3]
    reflectance_mean: jax.Array  # a_r, [N, 3]
    reflectance: jax.Array  # b_k^r times σ: [80, N, 3]
    topology: Topology
    uv: jax.Array  # [M, 2], v up
    uv_triangles: jax.Array  # [T, 3], rows of uv for each triangle's corners
    landmarks: Landmarks
    regions: dict  # name → [N] bool; "face" is the photometric region, "skin" eq. 14's mask
    name: str = struct.field(pytree_node=False)
    has_one_mesh: bool = struct.field(pytree_node=False, default=False)  # at details "standard" and "fine"
    file: str = struct.field(pytree_node=False, default="")  # that it was read from; "" for the package's own

    @property
    def vertex_count(self) -> int:
        """N, of the mesh."""
        return self.mean.shape[0]

    @property
    def code_sizes(self) -> CodeSizes:
        """(m_s, m_e, m_r), the numbers of parameters that decide the length of every code of this model."""
        return CodeSizes(self.identity.shape[0], self.expression.shape[0], self.reflectance.shape[0])


def geometry(
    model: BaseModel,
    identity: Float[Array, "identity"],
    expression: Float[Array, "expression"],
    *,
    summed: Callable = weighted_sum,
) -> Float[Array, "N 3"]:
    """v_b(α) = a_g + Σ_k α_k b_k^g (eq. 3), mm.

    Args:
      summed: how modes are summed; `weighted_sum_plain` allows forward-mode differentiation, too.
    """
    return model.mean + summed(identity, model.identity) + summed(expression, model.expression)


def reflectance(model: BaseModel, beta: Float[Array, "reflectance"]) -> Float[Array, "N 3"]:
    """r_b(β) = a_r + Σ_k β_k b_k^r (eq. 4), RGB; not clipped, so gradients do not vanish outside [0, 1]."""
    return model.reflectance_mean + weighted_sum(beta, model.reflectance)


def with_reflectance_modes(model: BaseModel, count: int) -> BaseModel:
    """The model with its first `count` reflectance modes only; its name states the count.

    Raises:
      InputError: the model has fewer modes.
    """
    if not 0 < count <= len(model.reflectance):
        raise InputError(
            f"reflectance_modes={count}: the face model {model.name} has 1 to {len(model.reflectance)} to choose"
        )
    return model.replace(reflectance=model.reflectance[:count], name=f"{model.name}, {count} reflectance modes")


def kept_vertices(model: BaseModel, keep: Bool[Array, "N"]) -> Int[np.ndarray, "K"]:
    """The vertices that `restrict` keeps, in its order: those where `keep` [N] is true, and those of the landmarks."""
    keep = np.asarray(keep, bool).copy()
    keep[model.landmarks.used_vertices()] = True
    return np.flatnonzero(keep)


def face_rings(model: BaseModel) -> Int[Array, "W N"]:
    """The model's rings as `restrict` to its face has them, by which a face of any detail gets the same normals."""
    keep = np.zeros(model.vertex_count, bool)
    keep[kept_vertices(model, model.regions["face"])] = True
    triangles = np.asarray(model.topology.triangles)
    inside = keep[triangles].all(axis=1)
    return model.topology.rings if inside.all() else rings_of(triangles[inside], model.vertex_count)


def restrict(model: BaseModel, keep: Bool[Array, "N"]) -> BaseModel:
    """The model on the vertices where `keep` [N] is true, and the triangles between them.

    Vertices that landmarks rest on stay in any case (without triangles around them they have no
    normal and are never visible).
    """
    old = kept_vertices(model, keep)
    keep = np.isin(np.arange(model.vertex_count), old)
    new_of_old = np.full(model.vertex_count, -1, np.int32)
    new_of_old[old] = np.arange(len(old))
    triangles = np.asarray(model.topology.triangles)
    kept = keep[triangles].all(axis=1)
    return model.replace(
        mean=model.mean[old],
        identity=model.identity[:, old],
        expression=model.expression[:, old],
        reflectance_mean=model.reflectance_mean[old],
        reflectance=model.reflectance[:, old],
        topology=make_topology(new_of_old[triangles[kept]], len(old)),
        uv_triangles=model.uv_triangles[np.flatnonzero(kept)],
        landmarks=model.landmarks.renumbered(new_of_old),
        regions={name: mask[old] for name, mask in model.regions.items()},
    )
