"""The point-based image formation of section 5: every vertex becomes a coloured point of the crop."""

from typing import NamedTuple

import jax
from jaxtyping import Bool, Float

from fml_jax.codes import FaceCode, FinalCode
from fml_jax.face_model.base import BaseModel, geometry, reflectance
from fml_jax.face_model.correctives import Corrections, final_geometry, final_reflectance
from fml_jax.face_model.topology import Topology, vertex_normals
from fml_jax.image_formation.camera import CROP_SIZE, in_front, project, to_camera
from fml_jax.image_formation.illumination import shading
from fml_jax.ops.arrays import Array
from fml_jax.ops.dot_products import dots


class Points(NamedTuple):
    """A face as the camera of its crop sees it, one row a vertex."""

    positions: jax.Array  # v̂, [N, 3] mm, camera space
    pixels: jax.Array  # u, [N, 2] pixels of the crop
    normals: jax.Array  # n̂, [N, 3] unit, camera space
    visible: jax.Array  # membership of V̄, [N] bool
    reflectance: jax.Array  # r, [N, 3]
    colours: jax.Array  # c, [N, 3], not clipped


def form_points(model: BaseModel, code: FaceCode) -> Points:
    """The base level's points: u_i = Π(R v_i + t), c_i = r_i ⊙ Σ_b γ_b H_b(n̂_i)."""
    vertices = geometry(model, code.identity, code.expression)
    return form_points_of(model.topology, vertices, reflectance(model, code.reflectance), code=code)


def form_final_points(model: BaseModel, code: FinalCode, corrections: Corrections) -> Points:
    """The final level's points: the shared pose, corrected geometry and reflectance, its own γ."""
    return form_both_levels(model, code, corrections)[1]


def form_both_levels(model: BaseModel, code: FinalCode, corrections: Corrections) -> tuple[Points, Points]:
    """The points of the base level and of the final level, which share the base level's sums of modes."""
    vertices = geometry(model, code.base.identity, code.base.expression)
    skin = reflectance(model, code.base.reflectance)
    base = form_points_of(model.topology, vertices, skin, code=code.base)
    corrected = final_geometry(vertices, corrections), final_reflectance(skin, corrections)
    return base, form_points_of(model.topology, *corrected, code=code.lit)


@jax.jit  # traced once for both levels, and for all losses of a training
def form_points_of(
    topology: Topology, vertices: Float[Array, "N 3"], reflectances: Float[Array, "N 3"], *, code: FaceCode
) -> Points:
    """Points of any geometry and reflectance under a code's pose and illumination."""
    positions = to_camera(vertices, code.rotation, code.translation)
    normals = vertex_normals(topology, positions)
    pixels = project(positions)
    return Points(
        positions=positions,
        pixels=pixels,
        normals=normals,
        visible=seen_by_camera(positions, normals, pixels),
        reflectance=reflectances,
        colours=reflectances * shading(normals, code.illumination),
    )


def seen_by_camera(
    positions: Float[Array, "N 3"], normals: Float[Array, "N 3"], pixels: Float[Array, "N 2"]
) -> Bool[Array, "N"]:
    """Membership of V̄: turned to the camera, before it, and within the crop."""
    return faces_camera(positions, normals) & in_front(positions) & inside_image(pixels, CROP_SIZE, CROP_SIZE)


def faces_camera(positions: Float[Array, "N 3"], normals: Float[Array, "N 3"]) -> Bool[Array, "N"]:
    """Back-face culling: whether the camera-space normal points towards the camera."""
    return dots(positions, normals) < 0


def inside_image(pixels: Float[Array, "N 2"], height: int, width: int) -> Bool[Array, "N"]:
    """Whether a point falls between the centres of the outermost pixels."""
    x, y = pixels[:, 0], pixels[:, 1]
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
