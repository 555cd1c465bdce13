"""How far landmarks lie from their true places when importers carry them over to another mesh.

    python -m benchmarks.landmark_transfer --ict=ICT-FaceKit [--faces=10]

Two kinds of faces, each as the mean face of a model of its own:
- identities of ICT-FaceKit: the open model has its topology, so that the true places are known; for its neutral face
  also the distance from its own 68 landmarks, whose convention differs. Besides, those 68 are marked on the open model
  where they lie on the neutral face, and carried to each identity: their error is free of conventions;
- the open model's random identities on another mesh: subdivided, with the vertices in another order, and cut to the
  face with a part of the neck, so that there is a border and no scalp, ears or eyeballs.
Errors are in mm, over MediaPipe's 478 points (those of the skin) and iBUG's 51 inner ones.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import app, flags
from tqdm import trange

from fml_jax.evaluation.tables import markdown
from fml_jax.face_model import load_face_model
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.files import OPEN_MODEL, read_arrays
from fml_jax.face_model.subdivision import catmull_clark, triangulate
from fml_jax.face_model.surfaces import Mesh, at, closest_on_surface
from fml_jax.importers.correspondence import Correspondence, find_correspondence
from fml_jax.importers.ict_facekit import read_ict

_ICT = flags.DEFINE_string("ict", None, "ICT-FaceKit: its npz file or its folder.")
_FACES = flags.DEFINE_integer("faces", 10, "Faces of each kind.")
_HEAD = 11248  # vertices of head and neck, which ICT-FaceKit and the open model share
_FRONT = -20.0  # mm: what lies behind is cut off


class OtherMesh(NamedTuple):
    """A face of the open model on another mesh, and where the open model's vertices lie on it."""

    mesh: Mesh
    true: np.ndarray  # [O, 3] mm
    of_skin: np.ndarray  # [O] vertices that the other mesh has


def on_another_mesh(model: BaseModel, vertices: np.ndarray, rng: np.random.Generator) -> OtherMesh:
    """A face subdivided, cut, and with its vertices in a random order."""
    quads = read_arrays(OPEN_MODEL)["quads"].astype(np.int64)
    operator, finer = catmull_clark(quads, len(vertices))
    eyes = (operator @ np.asarray(model.regions["eyes"], float)) > 0
    refined = operator @ vertices
    keep = (operator @ np.asarray(model.mean))[:, 2] > _FRONT
    triangles = triangulate(finer)
    triangles = triangles[(keep & ~eyes)[triangles].all(1)]
    used = rng.permutation(np.unique(triangles))
    place = np.full(len(refined), -1)
    place[used] = np.arange(len(used))
    kept = np.isin(np.arange(len(vertices)), used)
    return OtherMesh(Mesh(refined[used], place[triangles]), refined[: len(vertices)], kept)


def errors(model: BaseModel, found: Correspondence, mesh: Mesh, *, true: np.ndarray, known: np.ndarray) -> np.ndarray:
    """[478] mm, NaN where the true place is not known: distances of the embedded landmarks."""
    corners, weights = (np.asarray(part) for part in (model.landmarks.fixed_vertices, model.landmarks.fixed_weights))
    points = (found.bent[corners] * weights[..., None]).sum(1)
    there, shares = closest_on_surface(points, mesh.vertices, mesh.triangles)
    embedded = (mesh.vertices[there] * shares[..., None]).sum(1)
    distance = np.linalg.norm(embedded - (true[corners] * weights[..., None]).sum(1), axis=1)
    return np.where(known[corners].all(1), distance, np.nan)


def carried_marks(neutral: Correspondence, model: BaseModel, found: Correspondence, mesh: Mesh, *, marks) -> np.ndarray:
    """[M, 3] mm: points [M, 3] of one mean face, by way of the open model's surface, on another."""
    triangles = np.asarray(model.topology.triangles)
    corners, weights = closest_on_surface(marks, neutral.bent, triangles)
    return at(mesh.vertices, *closest_on_surface(at(found.bent, corners, weights), mesh.vertices, mesh.triangles))


def _row(name: str, model: BaseModel, all_errors: list[np.ndarray]) -> tuple:
    inner = np.asarray(model.landmarks.ibug_from_mediapipe)[17:]
    of_inner = np.stack(all_errors)[:, inner]
    return (
        name,
        *(f"{value:.2f}" for value in (np.nanmean(all_errors), np.nanpercentile(all_errors, 95))),
        *(f"{value:.2f}" for value in (np.nanmean(of_inner), np.nanmax(of_inner))),
    )


def main(_: list[str]) -> None:
    """Prints the table."""
    model, rng = load_face_model(), np.random.default_rng(0)
    if _ICT.value is None:
        raise app.UsageError("give --ict: ICT-FaceKit's npz file or its folder")
    raw = read_ict(Path(_ICT.value))
    neutral = find_correspondence(model, raw.mean, raw.triangles)
    inner = np.asarray(model.landmarks.ibug_from_mediapipe)[17:]
    corners, weights = (
        np.asarray(model.landmarks.fixed_vertices)[inner],
        np.asarray(model.landmarks.fixed_weights)[inner],
    )
    carried = (neutral.bent[corners] * weights[..., None]).sum(1)
    assert raw.landmarks68 is not None
    own = np.linalg.norm(carried - raw.mean[raw.landmarks68[17:]], axis=1)
    known = np.arange(model.vertex_count) < _HEAD
    of_ict, of_open, of_own = [], [], []
    for _ in trange(_FACES.value, unit="face"):
        shape = (raw.mean + np.tensordot(rng.standard_normal(len(raw.identity)), raw.identity, 1)).astype(float)
        found = find_correspondence(model, shape, raw.triangles)
        true = np.zeros((model.vertex_count, 3))
        true[:_HEAD] = shape[:_HEAD]
        of_ict.append(errors(model, found, Mesh(shape, raw.triangles), true=true, known=known))
        there = carried_marks(neutral, model, found, Mesh(shape, raw.triangles), marks=raw.mean[raw.landmarks68])
        of_own.append(np.linalg.norm(there - shape[raw.landmarks68], axis=1))
        code = rng.standard_normal(len(model.identity))
        other = on_another_mesh(model, np.asarray(model.mean) + np.tensordot(code, np.asarray(model.identity), 1), rng)
        found = find_correspondence(model, *other.mesh)
        of_open.append(errors(model, found, other.mesh, true=other.true, known=other.of_skin))
    rows = [_row("identities of ICT-FaceKit", model, of_ict), _row("open identities on other meshes", model, of_open)]
    print(markdown(["mm", "478: mean", "478: 95%", "inner 51: mean", "inner 51: worst"], rows))
    inner, outer = np.stack(of_own)[:, 17:], np.stack(of_own)[:, :17]
    print(
        f"\nICT-FaceKit's own landmarks carried from its neutral face to its identities: inner 51 {inner.mean():.2f} "
        f"mm as a mean, 95% {np.percentile(inner, 95):.2f}, worst {inner.max():.2f}; contour {outer.mean():.2f} mm"
    )
    print(f"\nICT-FaceKit's own 51 inner landmarks: {own.mean():.2f} mm from the carried ones (another convention)")


if __name__ == "__main__":
    app.run(main)
