"""A person's expression, pose and light in each frame, in one camera for the whole clip.

Every frame is measured in a crop of its own, whose camera looks at the crop's middle, so that poses of different crops
cannot be compared. The measured points are therefore taken over into one crop, which stays where it is, and expression
and pose are fitted to them there, under the person's one identity.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from fml_jax.codes import FaceCode, network_from_code
from fml_jax.face_model.base import BaseModel, geometry
from fml_jax.fitting.colours import ColourSolver, solve_light
from fml_jax.fitting.shared_identity import PointEvidence, fit_with_identity
from fml_jax.image_formation.camera import CROP_SIZE, FOCAL_IN_CROP_WIDTHS
from fml_jax.image_formation.local_points import PointBasis
from fml_jax.image_formation.rotation import rotation_matrix
from fml_jax.ops.arrays import Array
from fml_jax.video.smoothing import smoothed, smoothed_rotations

BATCH = 32  # frames in one call
_POSE_PRECISION = 1e-3  # of the pose, in a network's units: points alone decide it
_ROUNDS = 2  # of `solve_light`
_LIGHT_SPREADS = 3.0  # light is smoothed over so many times the time of the face's motion


class Seen(NamedTuple):
    """What is known of T frames of a person before they are fitted; leading axes T."""

    codes: FaceCode  # in the frames' own crops
    evidence: PointEvidence  # likewise
    camera_from_crop: Float[np.ndarray, "T 2 3"]  # affine from a frame's own crop to the one of the camera


@jax.jit
def fit_frames(basis: PointBasis, person: FaceCode, seen: Seen) -> FaceCode:
    """Codes of T frames in the camera of one crop, with the identity and reflectance of `person`."""
    return jax.vmap(lambda each: _fit_frame(basis, person, each))(seen)


def _fit_frame(basis: PointBasis, person: FaceCode, seen: Seen) -> FaceCode:
    code = in_other_crop(seen.codes, seen.camera_from_crop)
    linear, offset = seen.camera_from_crop[:, :2], seen.camera_from_crop[:, 2]
    size = basis.sizes.identity + basis.sizes.expression
    prior = jnp.asarray(network_from_code(code)).at[:size].set(seen.evidence.prior[:size])
    evidence = PointEvidence(
        pixels=seen.evidence.pixels @ linear.T + offset,
        whitening=jnp.linalg.inv(linear).T @ seen.evidence.whitening,
        prior=prior,
        precision=seen.evidence.precision.at[size:].set(_POSE_PRECISION),
    )
    fitted = fit_with_identity(basis, code, person.identity, evidence=evidence)
    return fitted.replace(reflectance=person.reflectance)


def in_other_crop(code: FaceCode, affine: Float[Array, "2 3"]) -> FaceCode:
    """The code whose picture in another crop's camera is about where the affine takes the code's.

    It turns the head with the picture and changes its distance with the picture's scale; perspective is not adapted.
    """
    scale = jnp.sqrt(jnp.linalg.det(affine[:, :2]))
    turn = jnp.eye(3).at[:2, :2].set(affine[:, :2] / scale)
    focal, middle = FOCAL_IN_CROP_WIDTHS * CROP_SIZE, (CROP_SIZE - 1) / 2
    x, y, depth = code.translation
    pixel = affine[:, :2] @ (focal * jnp.stack([x, y]) / depth + middle) + affine[:, 2]
    there = (pixel - middle) * (depth / scale) / focal
    return code.replace(
        rotation=_axis_angle(turn @ rotation_matrix(code.rotation)),
        translation=jnp.concatenate([there, depth[None] / scale]),
    )


@jax.jit
def solve_lights(
    model: BaseModel,
    solver: ColourSolver,
    codes: FaceCode,
    *,
    crops: Float[Array, "T 240 240 3"],
    crop_from_camera: Float[Array, "T 2 3"],
) -> Float[Array, "T 9 3"]:
    """γ of T frames under their codes' reflectance.

    Args:
      crops: of the frames, RGB in [0, 1].
      crop_from_camera: affines from the camera of the codes to the crops.
    """

    def of_one(code, crop, affine):
        vertices = geometry(model, code.identity, code.expression)
        surface = solver.surface(code, vertices, crop, crop_from_camera=affine)
        gamma = code.illumination
        for _ in range(_ROUNDS):
            gamma, _ = solve_light(surface, gamma, code.reflectance, start=code.illumination)
        return gamma

    return jax.vmap(of_one)(codes, crops, crop_from_camera)


def smooth_motion(codes: FaceCode, spread: float, weights: Float[np.ndarray, "T"]) -> FaceCode:
    """Codes of T frames that follow each other, with expression, pose and light smoothed.

    Args:
      spread, weights: see `smoothing.smoothed`.
    """
    count = len(weights)
    light = smoothed(np.asarray(codes.illumination).reshape(count, -1), _LIGHT_SPREADS * spread, weights)
    return codes.replace(
        expression=smoothed(np.asarray(codes.expression), spread, weights),
        rotation=smoothed_rotations(np.asarray(codes.rotation), spread, weights),
        translation=smoothed(np.asarray(codes.translation), spread, weights),
        illumination=light.reshape(codes.illumination.shape),
    )


def _axis_angle(rotation: Float[Array, "3 3"]) -> Float[Array, "3"]:
    """Of a rotation by 0.1 or more, also by π; by the quaternion's largest part."""
    r = rotation
    squares = 1 + 2 * jnp.diag(r) - jnp.trace(r)
    rows = r + r.T + jnp.diag(squares - 2 * jnp.diag(r))  # 4 v vᵀ of the quaternion's vector v
    row = rows[jnp.argmax(squares)]
    axis = row / jnp.linalg.norm(row)
    twice_sine = axis @ jnp.stack([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    return jnp.arctan2(twice_sine, jnp.trace(r) - 1) * axis
