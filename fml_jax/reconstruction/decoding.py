"""From a network's answer to a face: what its crop says of the colours, and what the face model makes of the code."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel, geometry, reflectance
from fml_jax.face_model.landmarks import landmarks68
from fml_jax.fitting.colours import ColourSolver
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.rotation import rotation_matrix, turn_angles


class Decoded(NamedTuple):
    """What the face model says of a code."""

    vertices: jax.Array  # [N, 3] mm
    reflectance: jax.Array  # [N, 3] sRGB-encoded, about [0, 1] but not clipped
    landmarks: jax.Array  # [68, 2] crop pixels
    projected: jax.Array  # [N, 2] crop pixels


def decode(model: BaseModel, code: FaceCode) -> Decoded:
    """Vertices, reflectance, landmarks and their pixels in the crop, of one code."""
    return _with_pixels(model, code, geometry(model, code.identity, code.expression))


_decode = jax.jit(decode)


def decode_one(model: BaseModel, code: FaceCode) -> Decoded:
    """`decode`, compiled, as NumPy arrays."""
    return jax.device_get(_decode(model, code))


def finish(model: BaseModel, solver: ColourSolver | None, code: FaceCode, crop: jax.Array) -> tuple[FaceCode, Decoded]:
    """One code with its colours solved on its crop [240, 240, 3] uint8, where there is a solver, and decoded.

    Both in one: the geometry, two thirds of the numbers that decoding reads, is needed for either.
    """
    vertices = geometry(model, code.identity, code.expression)
    if solver is not None:
        code = solver.solve(code, vertices, crop.astype(jnp.float32) / 255)
    return code, _with_pixels(model, code, vertices)


finish_all = jax.jit(jax.vmap(finish, in_axes=(None, None, 0, 0)))


@jax.jit
def landmarks_and_rolls(model: BaseModel, codes: FaceCode) -> tuple[jax.Array, jax.Array]:
    """Landmarks [B, 68, 2] in crop pixels and rolls [B] in degrees within the crops."""

    def one(code):
        marks = _landmarks(model, code, geometry(model, code.identity, code.expression))
        return _pixels(code, marks), turn_angles(rotation_matrix(code.rotation))[2]

    return jax.vmap(one)(codes)


def _with_pixels(model, code, vertices):
    pixels = _pixels(code, jnp.concatenate([_landmarks(model, code, vertices), vertices]))
    return Decoded(vertices, reflectance(model, code.reflectance), pixels[:68], pixels[68:])


def _landmarks(model, code, vertices):
    return landmarks68(model.landmarks, vertices, rotation_matrix(code.rotation))


def _pixels(code, points):
    return project(to_camera(points, code.rotation, code.translation))
