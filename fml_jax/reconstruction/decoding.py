"""From a code to a face: vertices, reflectance, and where they appear in the crop."""

from typing import NamedTuple

import jax
from jaxtyping import Float

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel, geometry, reflectance
from fml_jax.face_model.correctives import Corrections, final_geometry, final_reflectance
from fml_jax.fitting.colours import ColourSolver
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.landmark_projection import project_landmarks
from fml_jax.ops.arrays import Array


class DecodedFace(NamedTuple):
    """The face that a code stands for; leading batch axes where the code has them."""

    vertices: Array  # [N, 3] mm, model space
    reflectance: Array  # [N, 3] sRGB-encoded, about [0, 1] but not clipped
    landmarks: Array  # [68, 2] crop pixels
    projected: Array  # [N, 2] crop pixels: the vertices


def decode(model: BaseModel, code: FaceCode) -> DecodedFace:
    """The face of one code (eq. 3 and 4) and its projection into the crop."""
    vertices = geometry(model, code.identity, code.expression)
    return projected_face(model, code, vertices, reflectances=reflectance(model, code.reflectance))


_decode = jax.jit(decode)


def decode_one(model: BaseModel, code: FaceCode) -> DecodedFace:
    """`decode`, compiled, as NumPy arrays."""
    return jax.device_get(_decode(model, code))


def solve_and_decode(
    model: BaseModel,
    solver: ColourSolver | None,
    code: FaceCode,
    *,
    crop: Float[Array, "240 240 3"],
    known: Float[Array, "60 60"] | None = None,
) -> tuple[FaceCode, DecodedFace]:
    """One code with its colours solved on its crop (RGB in [0, 1]) if there is a solver, and its face.

    Both need the geometry, whose modes are two thirds of the data that decoding reads: it is computed once.

    Args:
      known: probabilities that no object hides the face.
    """
    vertices = geometry(model, code.identity, code.expression)
    if solver is not None:
        code = solver.solve(code, vertices, crop, known=known)
    return code, projected_face(model, code, vertices, reflectances=reflectance(model, code.reflectance))


@jax.jit
def solve_and_decode_all(
    model: BaseModel,
    solver: ColourSolver | None,
    codes: FaceCode,
    *,
    crops: Float[Array, "B 240 240 3"],
    known: Float[Array, "B 60 60"] | None = None,
) -> tuple[FaceCode, DecodedFace]:
    """`solve_and_decode` of B codes on their crops, compiled."""

    def of_one(code, crop, known):
        return solve_and_decode(model, solver, code, crop=crop, known=known)

    return jax.vmap(of_one, in_axes=(0, 0, None if known is None else 0))(codes, crops, known)


@jax.jit
def with_corrections(model: BaseModel, code: FaceCode, base: DecodedFace, *, added: Corrections) -> DecodedFace:
    """The final level of one face (eq. 1 and 2).

    Args:
      base: the code's face.
      added: F_g and F_r of all vertices.
    """
    vertices, skin = final_geometry(base.vertices, added), final_reflectance(base.reflectance, added)
    return projected_face(model, code, vertices, reflectances=skin)


def projected_face(
    model: BaseModel, code: FaceCode, vertices: Float[Array, "N 3"], *, reflectances: Float[Array, "N 3"]
) -> DecodedFace:
    """The face of any geometry and reflectance in the pose of a code."""
    return DecodedFace(
        vertices=vertices,
        reflectance=reflectances,
        landmarks=project_landmarks(model, code, vertices),
        projected=project(to_camera(vertices, code.rotation, code.translation)),
    )
