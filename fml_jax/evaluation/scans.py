"""Scans as ground truth: meshes with the open model's surface laid on them by non-rigid registration.

The registration tells where a scan's face is, where its landmarks are, and which of its points correspond to the open
model's vertices. It is kept on disk, since it takes a minute.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy.spatial import cKDTree

from fml_jax.errors import InputError
from fml_jax.evaluation.face_meshes import inner_landmarks
from fml_jax.evaluation.scan_landmarks import landmarks_beside
from fml_jax.face_model.base import BaseModel, kept_vertices
from fml_jax.face_model.landmarks import CONTOUR
from fml_jax.face_model.surfaces import Mesh, at, closest_on_surface
from fml_jax.files import complete_or_absent, output_folder
from fml_jax.fitting.surface_fit import Pose
from fml_jax.importers.correspondence import find_correspondence
from fml_jax.importers.mesh_files import read_mesh

ENDINGS = (".obj", ".ply")
FOLDER = "registered"
_NEAR = 5.0  # mm: vertices of the scan farther from the registered model belong to no region


class Registration(NamedTuple):
    """The open model on a scan."""

    bent: Float[np.ndarray, "O 3"]  # its vertices, in the scan's place
    pose: Pose  # from model space to the scan's
    landmarks: Float[np.ndarray, "51 3"] | None = None  # those that came with the scan, NaN where unknown


class KnownFace(NamedTuple):
    """A face whose surface is known."""

    name: str
    mesh: Mesh  # mm
    region: Bool[np.ndarray, "S"]  # vertices that are compared
    landmarks: Float[np.ndarray, "51 3"]  # iBUG's without the contour, NaN where unknown
    registered: Float[np.ndarray, "V 3"]  # the points that correspond to the open model's vertices at detail "face"
    pose: Pose  # from model space to the mesh's


def list_scans(places: Sequence[str]) -> list[Path]:
    """The meshes of files and folders; not those in subfolders.

    Raises:
      InputError: a place does not exist or has no mesh, or two meshes have one name.
    """
    paths: list[Path] = []
    for place in map(Path, places):
        found = (
            sorted(each for each in place.iterdir() if each.suffix.lower() in ENDINGS) if place.is_dir() else [place]
        )
        if not found or not place.exists():
            raise InputError(
                f"--scans={place}: no file of {' or '.join(ENDINGS)}; give scans, or folders that hold them"
            )
        paths += found
    names = [path.stem for path in paths]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise InputError(f"--scans: {repeated[0]} is there twice; names of scans must differ")
    return paths


def registration_of(model: BaseModel, path: Path, folder: Path) -> tuple[Mesh, Registration]:
    """A scan and the open model on it, read from `folder` if it was registered before.

    Args:
      model: the open model at standard detail.
      path: a mesh in mm. It looks along +z, y up, or has landmarks beside it (`scan_landmarks`).

    Raises:
      InputError: the scan or its landmarks cannot be read, or the folder cannot be written.
    """
    scan = read_mesh(path)
    mesh = Mesh(scan.vertices.astype(np.float64), scan.triangles)
    return mesh, registered(model, path.stem, mesh, folder=folder, landmarks=landmarks_beside(path))


def registered(
    model: BaseModel, name: str, mesh: Mesh, *, folder: Path, landmarks: Float[np.ndarray, "51 3"] | None = None
) -> Registration:
    """The open model on a mesh, as `registration_of`.

    Args:
      landmarks: of the mesh, NaN where unknown; without them, those of the registered model are its landmarks.
    """
    known = b"" if landmarks is None else landmarks.tobytes()
    digest = hashlib.sha1(mesh.vertices.tobytes() + known).hexdigest()[:8]
    kept = output_folder(folder / FOLDER) / f"{name}-{digest}.npz"
    if not kept.is_file():
        marks = None if landmarks is None else _nearest_vertices(mesh, landmarks)
        found = find_correspondence(model, mesh.vertices, mesh.triangles, landmarks68=marks)
        pose = found.pose
        with complete_or_absent(kept) as partial, partial.open("wb") as file:
            np.savez(file, bent=found.bent, scale=pose.scale, rotation=pose.rotation, shift=pose.shift)
    with np.load(kept, allow_pickle=False) as arrays:
        pose = Pose(float(arrays["scale"]), arrays["rotation"], arrays["shift"])
        return Registration(arrays["bent"], pose, landmarks)


def _nearest_vertices(mesh: Mesh, landmarks: Float[np.ndarray, "51 3"]) -> Integer[np.ndarray, "68"]:
    """The vertices next to iBUG's points, −1 where a point is unknown."""
    numbers, known = np.full(68, -1), np.flatnonzero(np.isfinite(landmarks).all(1))
    numbers[CONTOUR + known] = cKDTree(mesh.vertices).query(landmarks[known])[1]
    return numbers


def known_scan(model: BaseModel, name: str, mesh: Mesh, *, found: Registration) -> KnownFace:
    """A registered scan as ground truth.

    Its region is what lies within 5 mm of the model's face without the eyes, where scans are poor.
    """
    triangles = np.asarray(model.topology.triangles)
    corners, weights = closest_on_surface(mesh.vertices, found.bent, triangles)
    gaps = np.linalg.norm(at(found.bent, corners, weights) - mesh.vertices, axis=1)
    region = compared(model)[corners].all(1) & (gaps < _NEAR)
    if region.sum() < 100:
        raise InputError(
            f"{name}: the face of this scan was not found; scans are in mm, look along +z and have y up, or else have "
            f"landmarks beside them ({name}.landmarks.csv)"
        )
    kept = kept_vertices(model, model.regions["face"])
    marks = inner_landmarks(model, found.bent) if found.landmarks is None else found.landmarks
    return KnownFace(name, mesh, region, marks, found.bent[kept], found.pose)


def known_render(model: BaseModel, name: str, vertices: Float[np.ndarray, "V 3"]) -> KnownFace:
    """The stored truth of a render as ground truth.

    Args:
      model: at detail "face"; its vertices are stored.
    """
    mesh = Mesh(vertices.astype(np.float64), np.asarray(model.topology.triangles))
    still = Pose(1.0, np.eye(3), np.zeros(3))
    region = compared(model) & np.isin(np.arange(len(vertices)), mesh.triangles)  # some vertices only carry landmarks
    return KnownFace(name, mesh, region, inner_landmarks(model, vertices), mesh.vertices, still)


def compared(model: BaseModel) -> Bool[np.ndarray, "N"]:
    """The vertices of a model that are compared: its face without the eyes."""
    return np.asarray(model.regions["face"]) & ~np.asarray(model.regions["eyes"])
