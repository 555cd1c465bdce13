"""From a code to iBUG's 68 landmarks in its crop; the contour slides with the pose alone."""

from jaxtyping import Float

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel, geometry
from fml_jax.face_model.landmarks import landmarks68
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.rotation import rotation_matrix
from fml_jax.ops.arrays import Array


def camera_landmarks(
    model: BaseModel, code: FaceCode, vertices: Float[Array, "N 3"] | None = None
) -> Float[Array, "68 3"]:
    """iBUG's points of a code's face in camera space, mm.

    Args:
      vertices: the code's vertices in model space, where the caller has computed them already;
        by default `geometry` computes them.
    """
    if vertices is None:
        vertices = geometry(model, code.identity, code.expression)
    points = landmarks68(model.landmarks, vertices, rotation_matrix(code.rotation))
    return to_camera(points, code.rotation, code.translation)


def project_landmarks(
    model: BaseModel, code: FaceCode, vertices: Float[Array, "N 3"] | None = None
) -> Float[Array, "68 2"]:
    """iBUG's points of a code's face in pixels of its crop; arguments as for `camera_landmarks`."""
    return project(camera_landmarks(model, code, vertices))
