"""Faces to be compared with a known one: of a model's levels, of MediaPipe, and of other programs."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from fml_jax.evaluation.metrics import similarity_aligned
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.landmarks import CONTOUR, landmarks478
from fml_jax.face_model.surfaces import Mesh, at, part_of
from fml_jax.importers import registration
from fml_jax.photos.landmarks import IBUG_FROM_MEDIAPIPE, detect_mesh, mesh_triangles

_ROUNDS = 5  # of similarity and modes in turn
_RIDGE = 1e-3  # mm²: of the mean squared distance, against Σ c²
_BENDING = registration.PASSES[2:]  # coarse to fine; faces are aligned already
_MESH_POINTS = 468  # of MediaPipe's, without the irises


class FaceMesh(NamedTuple):
    """A face's surface in any place and size."""

    mesh: Mesh
    landmarks: Float[np.ndarray, "51 3"]  # iBUG's without the contour; NaN where unknown
    points: Float[np.ndarray, "P 3"] | None  # those whose true places are known
    true_points: Float[np.ndarray, "P 3"] | None


def inner_landmarks(model: BaseModel, vertices: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "51 3"]:
    """iBUG's points without the contour, on a face of the model's mesh."""
    marks = np.asarray(landmarks478(model.landmarks, np.asarray(vertices, np.float32)), np.float64)
    return marks[np.asarray(model.landmarks.ibug_from_mediapipe)[CONTOUR:]]


def frontal_landmarks(model: BaseModel, values: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "68 C"]:
    """Values of vertices (places, pixels) at iBUG's points with the contour of a face seen from the front.

    Data sets with points in three dimensions have this contour, wherever the head turns.
    """
    marks = model.landmarks
    frontal = int(np.abs(np.asarray(marks.contour_yaws)).argmin())
    inner = np.asarray(marks.ibug_from_mediapipe)[CONTOUR:]
    corners = np.concatenate([marks.contour_vertices[frontal], np.asarray(marks.fixed_vertices)[inner]])
    weights = np.concatenate([marks.contour_weights[frontal], np.asarray(marks.fixed_weights)[inner]])
    return at(np.asarray(values, np.float64), corners, weights.astype(np.float64))


def face_part(model: BaseModel, vertices: Float[np.ndarray, "N 3"]) -> Mesh:
    """A face of a model without the rest of its head."""
    triangles = np.asarray(model.topology.triangles)
    return part_of(Mesh(vertices, triangles), np.asarray(model.regions["face"])[triangles].all(1))


def of_model(
    model: BaseModel,
    vertices: Float[np.ndarray, "V 3"],
    *,
    registered: Float[np.ndarray, "V 3"],
    members: Bool[np.ndarray, "V"],
) -> FaceMesh:
    """A face of a model at detail "face".

    Args:
      registered: the true places of the vertices.
      members: vertices that are compared.
    """
    vertices = np.asarray(vertices, np.float64)
    mesh = Mesh(vertices, np.asarray(model.topology.triangles))
    return FaceMesh(mesh, inner_landmarks(model, vertices), vertices[members], registered[members])


def of_mediapipe(
    model: BaseModel,
    rgb: UInt8[np.ndarray, "H W 3"],
    box: tuple[float, float, float, float] | None,
    *,
    registered: Float[np.ndarray, "V 3"],
    members: Bool[np.ndarray, "V"],
) -> FaceMesh | None:
    """MediaPipe's face mesh of a picture; None if it finds none. Arguments as of `of_model`."""
    found = detect_mesh(rgb, box)
    if found is None:
        return None
    points = found.astype(np.float64) * [1, -1, -1]  # model axes: y up, z out of the face
    corners = np.asarray(model.landmarks.fixed_vertices)
    inside = members[corners].all(1) & (np.arange(len(points)) < _MESH_POINTS)
    true = np.asarray(landmarks478(model.landmarks, registered.astype(np.float32)), np.float64)
    marks = points[IBUG_FROM_MEDIAPIPE[CONTOUR:]]
    return FaceMesh(Mesh(points[:_MESH_POINTS], mesh_triangles()), marks, points[inside], true[inside])


def nearest_in_span(
    model: BaseModel, registered: Float[np.ndarray, "V 3"], members: Bool[np.ndarray, "V"]
) -> Float[np.ndarray, "V 3"]:
    """The face of the model's span that is nearest to a known one after a similarity: what a base level can reach.

    Args:
      model: at detail "face".
    """
    mean, modes = np.asarray(model.mean, np.float64), np.concatenate([model.identity, model.expression]).astype(float)
    columns = modes[:, members].reshape(len(modes), -1)
    normal = columns @ columns.T + _RIDGE * members.sum() * np.eye(len(columns))
    shape = mean
    for _ in range(_ROUNDS):
        target = similarity_aligned(registered[None], shape[None], members)[0]
        weights = np.linalg.solve(normal, columns @ (target - mean)[members].ravel())
        shape = mean + np.tensordot(weights, modes, 1)
    return shape


def bent_onto(
    model: BaseModel, registered: Float[np.ndarray, "V 3"], mesh: Mesh, *, members: Bool[np.ndarray, "V"]
) -> Float[np.ndarray, "P 3"]:
    """Points of a face of any mesh that correspond to a known face's: the known one is bent onto it.

    Args:
      model: the open model at detail "face".
      mesh: aligned with the known face.
      members: vertices that are compared, P of V.
    """
    known = Mesh(registered, np.asarray(model.topology.triangles))
    return registration.bent(known, mesh, _BENDING, free=~members)[members]


def matched_error(face: FaceMesh) -> float:
    """Mean distance in mm of points from their true places after the similarity that fits them best."""
    assert face.points is not None and face.true_points is not None
    everything = np.ones(len(face.points), bool)
    aligned = similarity_aligned(face.points[None], face.true_points[None], everything)[0]
    return float(np.linalg.norm(aligned - face.true_points, axis=1).mean())
