"""A face under another light, and with another face's expression."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from fml_jax.codes import LIGHT_SHAPE, FaceCode
from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel
from fml_jax.fitting.named_shapes import named_shapes
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.illumination import sh_basis, shading
from fml_jax.image_formation.landmark_projection import project_landmarks
from fml_jax.image_formation.sphere import fibonacci_sphere
from fml_jax.photos.crops import apply_affine, invert_affine

AMBIENT = 0.35  # of a lamp's light, how much comes from all sides
_CAMERA_AXES = np.array([1, -1, -1])  # y down and z away from the viewer
_DIRECTIONS = 2000  # of normals for which a lamp's γ is fitted


def lamp(
    direction: Sequence[float] | np.ndarray,
    colour: Sequence[float] | np.ndarray | None = None,
    ambient: float = AMBIENT,
) -> Float[np.ndarray, "9 3"]:
    """γ of one lamp far away and of light from all sides: ambient + (1 − ambient) · max(0, n·d), fitted over all n.

    Args:
      direction: towards the lamp, as the photo's viewer sees it: x right, y up, z to the viewer; of any length.
      colour: RGB of the light; None is white.
      ambient: in [0, 1].

    Raises:
      InputError: the direction has no length, or a number is out of range.
    """
    towards = np.asarray(direction, np.float64)
    length = np.linalg.norm(towards)
    if towards.shape != (3,) or not 0 < length < np.inf:
        raise InputError(f"direction={direction!r} is none; give three numbers, such as (-1, 1, 1) for the upper left")
    if not 0 <= ambient <= 1:
        raise InputError(f"ambient={ambient!r} is out of range; give a share of the light from 0 to 1")
    normals = np.asarray(fibonacci_sphere(_DIRECTIONS))
    wanted = ambient + (1 - ambient) * np.clip(normals @ (towards * _CAMERA_AXES) / length, 0, None)
    gamma, *_ = np.linalg.lstsq(np.asarray(sh_basis(normals), np.float64).T, wanted, rcond=None)
    tint = np.ones(3) if colour is None else np.asarray(colour, np.float64)
    return (gamma[:, None] * tint).astype(np.float32)


def relit(face: Any, light: Any) -> Any:
    """A `Reconstruction` under another light.

    Args:
      light: γ [9, 3]; or another `Reconstruction`, whose light is taken; or the direction of a white `lamp`, which
        lights a ball as much as the present light does.

    Raises:
      InputError: the light is none of these.
    """
    gamma = np.asarray(getattr(light, "illumination", light), np.float32)
    if gamma.shape == (3,):
        gamma = lamp(gamma)
        gamma *= _brightness(face.illumination) / _brightness(gamma)
    if gamma.shape != LIGHT_SHAPE or not np.isfinite(gamma).all():
        raise InputError(
            f"light of shape {gamma.shape} is none; give γ of shape {LIGHT_SHAPE}, a lamp's direction or another face"
        )
    return dataclasses.replace(face, code=face.code.replace(illumination=gamma))


def _brightness(gamma: Float[np.ndarray, "9 3"]) -> float:
    """The mean shading of a ball, where the camera sees it."""
    normals = fibonacci_sphere(_DIRECTIONS)
    seen = np.maximum(-normals[:, 2:], 0)
    return max(float((seen * np.asarray(shading(normals, gamma))).sum() / (3 * seen.sum())), 1e-3)


def with_expression(face: Any, expression: Any) -> Any:
    """A `Reconstruction` of the same person, pose and light with another expression.

    Args:
      expression: another `Reconstruction`; or weights of ARKit's named shapes, {"jawOpen": 1.0}; or a code [m_e].

    Raises:
      InputError: another face model, a shape that the model does not name, or a code of another length.
    """
    code = face.code.replace(expression=_expression_code(face, expression))
    vertices, landmarks, projected = jax.device_get(_moved(face.model, face.code, code, face.vertices))
    photo_from_crop = invert_affine(face.crop_from_photo)
    return dataclasses.replace(
        face,
        code=code,
        vertices=vertices,
        landmarks68=apply_affine(photo_from_crop, landmarks.astype(np.float64)),
        projected=apply_affine(photo_from_crop, projected.astype(np.float64)),
    )


def expression_weights(face: Any) -> dict[str, float]:
    """How far each of ARKit's named shapes is activated in a `Reconstruction`, in [0, 1]; see `NamedShapes.weights`.

    Raises:
      InputError: the face model has no named shapes.
    """
    shapes = _named_shapes(face)
    return dict(zip(shapes.names, shapes.weights(np.asarray(face.code.expression)).tolist(), strict=True))


def _expression_code(face: Any, expression: Any) -> np.ndarray:
    if isinstance(expression, Mapping):
        shapes = _named_shapes(face)
        if unknown := sorted(set(expression) - set(shapes.names)):
            raise InputError(f"shape {unknown[0]!r} is unknown; choose from {', '.join(shapes.names)}")
        weights = np.array([expression.get(name, 0.0) for name in shapes.names])
        return (weights @ shapes.codes).astype(np.float32)
    other = getattr(expression, "model", face.model)
    if other.name != face.model.name:
        raise InputError(f"an expression of the face model {other.name} for a face of {face.model.name}; use one model")
    code = np.asarray(expression.code.expression if hasattr(expression, "code") else expression, np.float32)
    if code.shape != face.code.expression.shape:
        raise InputError(f"an expression of shape {code.shape}; this face model has {face.code.expression.shape}")
    return code


def _named_shapes(face: Any) -> Any:
    shapes = named_shapes(face.model)
    if shapes is None:
        raise InputError(f"the face model {face.model.name} has no named shapes; take another face's expression")
    return shapes


@jax.jit
def _moved(model: BaseModel, before: FaceCode, after: FaceCode, vertices: jax.Array) -> tuple[jax.Array, ...]:
    """Vertices under another expression, which keep what other levels added; their landmarks and crop pixels."""
    change = jnp.asarray(after.expression) - jnp.asarray(before.expression)
    vertices = vertices + jnp.tensordot(change, model.expression, 1)
    pixels = project(to_camera(vertices, jnp.asarray(after.rotation), jnp.asarray(after.translation)))
    return vertices, project_landmarks(model, after, vertices), pixels
