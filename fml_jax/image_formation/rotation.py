"""Rotations as axis-angle vectors, smooth everywhere, zero included."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from fml_jax.ops.arrays import Array

# Below this squared angle sin θ/θ and (1 − cos θ)/θ² are computed from their series. The terms left
# out are below float32's precision there, while the quotients would lose digits.
_SERIES_BELOW = 1e-2

# [ω]× = Σ_k _CROSS[:, :, k] ω_k. Written with nine entries it is 24 operations more, which XLA takes time to compile.
_CROSS = -np.cross(np.eye(3, dtype=np.float32)[:, None], np.eye(3, dtype=np.float32))


@jax.jit  # traced once, where losses rotate points again and again
def rotation_matrix(axis_angle: Float[Array, "3"]) -> Float[Array, "3 3"]:
    """R = exp([ω]×) ∈ SO(3) for ω in radians (Rodrigues' formula).

    R = I + a K + b K² with a = sin θ/θ, b = (1 − cos θ)/θ² and K = [ω]×. Both factors are computed
    as functions of θ², so that their gradients are finite at zero, where the root's is not.
    """
    squared = jnp.sum(axis_angle**2)
    a, b = _rodrigues_factors(squared)
    cross = jnp.sum(_CROSS * axis_angle, axis=-1)
    return jnp.eye(3, dtype=axis_angle.dtype) + a * cross + b * (cross @ cross)


def _rodrigues_factors(squared):
    small = squared < _SERIES_BELOW
    # Each branch is given only arguments where it is smooth: `where` alone would still let a NaN of
    # the unused branch into the gradient.
    series = jnp.where(small, squared, 0.0)
    a_series = 1 - series / 6 * (1 - series / 20 * (1 - series / 42))
    b_series = 0.5 - series / 24 * (1 - series / 30 * (1 - series / 56))
    exact = jnp.where(small, 1.0, squared)
    angle = jnp.sqrt(exact)
    a = jnp.where(small, a_series, jnp.sin(angle) / angle)
    b = jnp.where(small, b_series, (1 - jnp.cos(angle)) / exact)
    return a, b


def rotation_matrices(axis_angles: Float[Array, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """`rotation_matrix` of NumPy arrays, for pictures and files, whose first one would wait for a compilation."""
    return Rotation.from_rotvec(np.asarray(axis_angles, np.float64)).as_matrix().astype(np.float32)


def head_angles(rotations: Float[Array, "B 3"]) -> Float[np.ndarray, "B 3"]:
    """`turn_angles` of heads by their axis-angle rotations: (yaw, pitch, roll) in degrees within their crops."""
    return turn_angles(rotation_matrices(rotations))


def turn_angles(rotations: Float[Array, "*batch 3 3"]) -> Float[np.ndarray, "*batch 3"]:
    """(yaw, pitch, roll) in degrees of a face with camera rotation R; all are zero when it faces the camera.

    Yaw is positive when the subject turns to their left (the picture's right), pitch when they
    look up, roll when the picture of the head is turned clockwise. R is roll first, then pitch, then yaw.
    """
    rotations = np.asarray(rotations)
    left, out_of_face = rotations[..., 0], rotations[..., 2]
    yaw = np.arctan2(out_of_face[..., 0], -out_of_face[..., 2])
    pitch = np.arcsin(np.clip(-out_of_face[..., 1], -1, 1))
    unturned = np.cos(yaw) * left[..., 0] + np.sin(yaw) * left[..., 2]
    roll = np.arctan2(left[..., 1], np.cos(pitch) * unturned)
    return np.degrees(np.stack([yaw, pitch, roll], axis=-1))
