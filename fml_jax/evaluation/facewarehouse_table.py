"""Table "facewarehouse": geometry against FaceWarehouse (Cao et al., 2014), as in the paper's table 1.

The paper compares 180 meshes, nine people with twenty expressions each, after a rigid motion and isotropic scaling. It
names neither the people nor the part of the face. Here they are the first nine, and the part is the face of the open
model without the eyes. All meshes have the same triangles, so the open model is registered to one of them, and the
others have their landmarks and that part from it.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from fml_jax.errors import InputError
from fml_jax.evaluation.benchmark import BenchmarkPhoto, by_level, columns, left_out, measured_photos
from fml_jax.evaluation.face_meshes import face_part, inner_landmarks
from fml_jax.evaluation.figures import cumulative, curves
from fml_jax.evaluation.job import Job
from fml_jax.evaluation.kept_rows import Row
from fml_jax.evaluation.levels import Errors, errors_by_level
from fml_jax.evaluation.scan_alignment import by_closest_points, by_landmarks, distances, sums
from fml_jax.evaluation.scans import known_scan, registered
from fml_jax.evaluation.table import Part, Table
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.files import load_face_model
from fml_jax.face_model.surfaces import Mesh, at, closest_on_surface
from fml_jax.importers.mesh_files import read_mesh
from fml_jax.importers.registration import border_vertices

NAME = "facewarehouse"
PEOPLE = 9  # the paper's number
_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp")
_UNITS = (1.0, 10.0, 100.0, 1000.0)  # mm: of meshes in mm, cm, dm and m
_HEAD = 220.0  # mm, about the longest side of a face with its neck
_REACH = 5.0  # mm, of the figure
_MEASURES = {
    "truth to mesh": "scan to mesh, mean",
    "mesh to truth": "mesh to scan, mean",
    "Hausdorff 95 %": "Hausdorff 95 %",
}


class Template(NamedTuple):
    """What all meshes of the data set have in common."""

    triangles: np.ndarray  # [T, 3]
    region: Bool[np.ndarray, "N"]  # vertices that are compared
    corners: np.ndarray  # [51, 3] vertices about iBUG's points without the contour
    weights: np.ndarray  # [51, 3]


def facewarehouse_photos(folder: str) -> list[BenchmarkPhoto]:
    """The photos and meshes in TrainingPose/ of the first nine people, in order of their numbers.

    Raises:
      InputError: there is none.
    """
    people = sorted((path for path in Path(folder).glob("Tester_*") if path.is_dir()), key=_number)[:PEOPLE]
    photos = []
    for mesh in (each for person in people for each in sorted(person.glob("TrainingPose/pose_*.obj"), key=_number)):
        pictures = [mesh.with_suffix(ending) for ending in _ENDINGS]
        photo = next((path for path in pictures if path.is_file()), pictures[0])
        person = mesh.parents[1].name
        photos.append(BenchmarkPhoto(f"{person}/{mesh.stem}", photo, (mesh,), person))
    if not photos:
        raise InputError(f"--facewarehouse={folder}: no Tester_1/TrainingPose/pose_0.obj; give the folder of Tester_1")
    return photos


def _number(path: Path) -> tuple[int, str]:
    digits = re.search(r"\d+", path.name)
    return int(digits[0]) if digits else 0, path.name


def read_in_mm(path: Path) -> Mesh:
    """A mesh in mm; its unit is that in which it has about the size of a head.

    Raises:
      InputError: the file cannot be read.
    """
    read = read_mesh(path)
    vertices = read.vertices.astype(np.float64)
    size = np.ptp(vertices[np.unique(read.triangles)], axis=0).max()
    unit = min(_UNITS, key=lambda each: abs(np.log(max(each * size, 1e-9) / _HEAD)))
    return Mesh(unit * vertices, read.triangles)


def template_of(model: BaseModel, name: str, mesh: Mesh, *, folder: Path) -> Template:
    """The region and the landmarks of the data set's meshes, from one of them.

    Vertices on a border of the mesh are not compared: what of a face lies beyond has its nearest point there.

    Args:
      model: the open model at standard detail, which is registered to the mesh.
      folder: where the registration is kept.

    Raises:
      InputError: the mesh shows no face, or the folder cannot be written.
    """
    known = known_scan(model, name, mesh, found=registered(model, name, mesh, folder=folder))
    corners, weights = closest_on_surface(known.landmarks, *mesh)
    border = border_vertices(mesh.triangles, len(mesh.vertices))
    return Template(mesh.triangles, known.region & ~border, corners, weights)


class MeshErrors:
    """Measures photos."""

    def __init__(self, job: Job, first: BenchmarkPhoto) -> None:
        """`first` is the photo whose mesh tells what all meshes have in common."""
        self._job, self._first = job, first

    @functools.cached_property
    def _template(self) -> Template | InputError:
        """An error is kept, too: a registration takes a minute, and fails for each photo alike."""
        try:
            mesh, name = read_in_mm(self._first.truth[0]), self._first.name.replace("/", "_")
            return template_of(load_face_model(), name, mesh, folder=self._job.output)
        except InputError as error:
            return error

    def __call__(self, photo: BenchmarkPhoto) -> Row:
        """Distances of each level and of the mean face."""
        template, mesh = self._template, read_in_mm(photo.truth[0])
        if isinstance(template, InputError):
            raise template
        if len(mesh.vertices) != len(template.region) or not np.array_equal(mesh.triangles, template.triangles):
            raise InputError(f"{photo.truth[0]}: other triangles than those of {self._first.truth[0]}; check the files")
        face = self._job.reconstructor(photo.path)[0]
        measure = functools.partial(_errors, template, mesh)
        return {"person": photo.group, "levels": errors_by_level(face, measure, refined=self._job.refine)}


def _errors(template: Template, truth: Mesh, model: BaseModel, vertices: np.ndarray) -> Errors:
    return surface_errors(template, truth, face_part(model, vertices), landmarks=inner_landmarks(model, vertices))


def surface_errors(template: Template, truth: Mesh, face: Mesh, *, landmarks: Float[np.ndarray, "51 3"]) -> Errors:
    """`scan_alignment.sums` of a face in any place and size after the similarity that fits it best."""
    marks = at(truth.vertices, template.corners, template.weights)
    pose = by_closest_points(face, truth.vertices[template.region], by_landmarks(landmarks, marks))
    return sums(distances(Mesh(pose(face.vertices), face.triangles), truth, template.region))


def facewarehouse_table(job: Job, folder: str) -> Table:
    """Measures the photos of nine people.

    Args:
      folder: with Tester_1, Tester_2 and so on.

    Raises:
      InputError: no photo can be measured, or files cannot be written.
    """
    photos = facewarehouse_photos(folder)
    rows, failures = measured_photos(job, NAME, photos, measure=MeshErrors(job, photos[0]))
    note = (
        "mm in the size of the data set's meshes, after a similarity by landmarks and closest points. Mean and SD of a "
        "photo's mean distances, over photos. The paper's table 1 has 1.84 mm, SD 0.38, for its final level and 2.03 "
        "mm, SD 0.52, for its base level; its people and the part of the face that it compares are not known."
    )
    parts = [_part(rows), *left_out(failures)]
    return Table(NAME, "FaceWarehouse: geometry", note, parts, by_level(rows), _sheet(rows))


def _part(rows: Sequence[Row]) -> Part:
    lines = [
        (level, *(f"{number:.2f}" for values in found for number in (np.mean(values), np.std(values))))
        for level, found in columns(rows, list(_MEASURES.values())).items()
    ]
    people = len({row["person"] for row in rows})
    header = ("", *(each for name in _MEASURES for each in (f"{name}, mean", "SD")))
    return Part(f"{people} people, {len(rows)} photos, mm", header, lines)


def _sheet(rows: Sequence[Row]) -> np.ndarray:
    found = columns(rows, [_MEASURES["truth to mesh"]])
    lines = {level: cumulative(errors) for level, (errors,) in found.items()}
    return curves(lines, "mean distance of a photo's true mesh, mm", "% of photos", reach=_REACH)
