"""One face beside a known one: all numbers of a row of the table of geometry."""

from typing import NamedTuple

from fml_jax.evaluation import scan_alignment
from fml_jax.evaluation.face_meshes import FaceMesh, bent_onto, matched_error
from fml_jax.evaluation.scans import KnownFace, compared
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.surfaces import Mesh

MATCHED = "corresponding points"


class Compared(NamedTuple):
    """Distances of one face, and their sums by name, mm."""

    distances: scan_alignment.Distances
    sums: dict[str, float]


def compare(model: BaseModel, known: KnownFace, face: FaceMesh) -> Compared:
    """The face is aligned by landmarks, then by closest points; where its points' true places are not known, the
    known face is bent onto it.

    Args:
      model: at detail "face"; its vertices' true places are known.
    """
    start = scan_alignment.by_landmarks(face.landmarks, known.landmarks)
    pose = scan_alignment.by_closest_points(face.mesh, known.mesh.vertices[known.region], start)
    placed = Mesh(pose(face.mesh.vertices), face.mesh.triangles)
    found = scan_alignment.distances(placed, known.mesh, known.region)
    if face.points is None:
        members = compared(model)
        points = bent_onto(model, known.registered, placed, members=members)
        face = face._replace(points=points, true_points=known.registered[members])
    return Compared(found, scan_alignment.sums(found) | {MATCHED: matched_error(face)})
