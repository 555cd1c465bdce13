"""A reconstruction in another face model: the nearest face that the other model can express."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.files import load_face_model
from fml_jax.face_model.landmarks import landmarks478
from fml_jax.face_model.surfaces import Mesh, at, closest_on_surface, procrustes
from fml_jax.fitting.surface_fit import Pass, Pose, SurfaceFit, fit_to_surface
from fml_jax.reconstruction.levels import with_code

_RIGID = Pass(40.0, 1.0, 4, 0)
_BY_MODES = (Pass(30.0, 20.0, 4, 200), Pass(15.0, 200.0, 5, 200), Pass(8.0, 2000.0, 8, 200))
_COLOUR_STRENGTH = 1e4  # of the mean squared colour difference, against Σ β²


class FaceInModel(NamedTuple):
    """A face in another model, and how far it is from the original."""

    face: Any  # a `Reconstruction`
    residual: float  # mm: mean distance of the new face's vertices (without eyes) from the original surface
    distances: np.ndarray  # [N] mm of each vertex; NaN outside the face


def in_model(face: Any, path: str | Path) -> FaceInModel:
    """A `Reconstruction` in the model of a file: the nearest geometry and reflectance of its span, in the same light.

    Corrections of geometry and reflectance count as part of the face that is approximated.

    Args:
      path: a face model file.

    Raises:
      InputError: no such file, or it is no face model.
    """
    model = load_face_model(path)
    surface = Mesh(np.asarray(face.vertices, np.float64), np.asarray(face.triangles))
    members = np.flatnonzero(np.asarray(model.regions["face"]) & ~np.asarray(model.regions["eyes"]))
    fit = _fitted(model, surface, members, marks=np.asarray(landmarks478(face.model.landmarks, face.vertices)))
    identity, expression = np.split(fit.coefficients.astype(np.float32), [len(model.identity)])
    shape = np.asarray(model.mean, np.float64) + np.tensordot(fit.coefficients, _modes(model), 1)
    corners, weights = closest_on_surface(fit.pose(shape[members]), surface.vertices, surface.triangles)
    colours = at(np.asarray(face.reflectance, np.float64), corners, weights)
    gaps = np.linalg.norm(at(surface.vertices, corners, weights) - fit.pose(shape[members]), axis=1)
    code = _moved(face.code, fit.pose).replace(
        identity=jnp.asarray(identity),
        expression=jnp.asarray(expression),
        reflectance=jnp.asarray(_colour_code(model, members, colours), jnp.float32),
    )
    version = f"{model.name}, from {face.model_version}"
    other = dataclasses.replace(
        face, model=model, triangles=np.asarray(model.topology.triangles), model_version=version, final_code=None
    )
    distances = np.full(model.vertex_count, np.nan)
    distances[members] = gaps
    return FaceInModel(with_code(other, code), float(gaps.mean()), distances)


def _fitted(model: BaseModel, surface: Mesh, members: np.ndarray, *, marks: Float[np.ndarray, "478 3"]) -> SurfaceFit:
    mean = Mesh(np.asarray(model.mean, np.float64), np.asarray(model.topology.triangles))
    own = np.asarray(landmarks478(model.landmarks, model.mean), np.float64)
    _, rotation, centre = procrustes(own, marks.astype(np.float64))
    start = Pose(1.0, rotation, marks.mean(0) - rotation @ centre)
    passes = (_RIGID, *_BY_MODES)
    return fit_to_surface(mean, _modes(model), surface, start=start, passes=passes, members=members, keeps_size=True)


def _modes(model: BaseModel) -> np.ndarray:
    return np.concatenate([np.asarray(model.identity), np.asarray(model.expression)])


def _moved(code: FaceCode, pose: Pose) -> FaceCode:
    """The code with the pose of a model whose space is mapped to the code's own model space by `pose`."""
    rotation = Rotation.from_rotvec(np.asarray(code.rotation, np.float64))
    translation = rotation.apply(pose.shift) + np.asarray(code.translation)
    turned = (rotation * Rotation.from_matrix(pose.rotation)).as_rotvec()
    return code.replace(rotation=jnp.asarray(turned, jnp.float32), translation=jnp.asarray(translation, jnp.float32))


def _colour_code(model: BaseModel, members: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """β [K] of the reflectance that is nearest to colours [P, 3] at the members."""
    columns = np.asarray(model.reflectance, np.float64)[:, members].reshape(len(model.reflectance), -1)
    wanted = (colours - np.asarray(model.reflectance_mean)[members]).ravel()
    strength = _COLOUR_STRENGTH / len(members)
    return np.linalg.solve(strength * columns @ columns.T + np.eye(len(columns)), strength * columns @ wanted)
