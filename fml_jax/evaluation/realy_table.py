"""Table "realy": errors of four regions, each aligned by itself, after REALY (Chai et al., 2022), frontal photos.

A face is brought to the scan by a similarity of seven points. For each region a rigid motion then brings the face
nearest to the region, by closest points and the region's own keypoints. At last the region of the scan is bent onto the
face, which tells where on the face each of its points belongs: errors are the distances from there.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from fml_jax.errors import InputError
from fml_jax.evaluation.benchmark import BenchmarkPhoto, by_level, columns, left_out, measured_photos
from fml_jax.evaluation.face_meshes import frontal_landmarks
from fml_jax.evaluation.figures import cumulative, curves
from fml_jax.evaluation.job import Job
from fml_jax.evaluation.kept_rows import Row
from fml_jax.evaluation.levels import Errors, errors_by_level
from fml_jax.evaluation.scan_alignment import by_landmarks
from fml_jax.evaluation.scan_landmarks import SEVEN, read_points
from fml_jax.evaluation.table import Part, Table
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.surfaces import Mesh, SurfaceSearch, at, part_of, procrustes
from fml_jax.fitting.surface_fit import Pose
from fml_jax.importers import registration
from fml_jax.importers.mesh_files import read_mesh
from fml_jax.photos.reading import list_photos

NAME = "realy"
ALL = "all"
_LIPS, _EYES = [*range(48, 61), 64], [*range(36, 48)]
# iBUG's points that hold each region in its place. REALY has two more for the nose and two for the cheek, which no
# other face model has.
KEYPOINTS = {
    "nose": [*range(27, 36)],
    "mouth": _LIPS,
    "forehead": [*range(17, 27), *_EYES],
    "cheek": [*_LIPS, 36, 39, 40, 41, 42, 45, 46, 47, 7, 8, 9],
}
_SHARES = {"cheek": 0.25}  # of the keypoints' weight, against that of the region's points; others 1
_PHOTOS, _KEYPOINTS, _REGIONS = "REALY_image", "REALY_HIFI3D_keypoints", "REALY_scan_region"
_SCALES = "metrical_scale.txt"
_KEYPOINT_COUNT = 85  # the first 68 are iBUG's
_ROUNDS, _STILL = 100, 1e-2  # of closest points, at most; mm by which a round moves the face when it is the last
_MOST_POINTS = 1000  # of a region, that seek partners
_BENDING = registration.PASSES[2:]  # coarse to fine; faces are aligned already
_NEAR = 30.0  # mm: parts of the face farther from a region, after the first alignment, are no partners of its points
_REACH = 5.0  # mm, of the figure


def realy_photos(folder: str) -> list[BenchmarkPhoto]:
    """The photos that are named by a person's number alone, in order of the numbers.

    Raises:
      InputError: a part of the data set is missing, or two photos have one number.
    """
    for name in (_PHOTOS, _KEYPOINTS, _REGIONS):
        if not Path(folder, name).is_dir():
            raise InputError(f"--realy={folder}: {name}/ is missing; give the folder with REALY's three folders")
    found: dict[int, Path] = {}
    for path in list_photos(Path(folder, _PHOTOS)):
        if path.stem.isascii() and path.stem.isdigit():
            if other := found.get(int(path.stem)):
                raise InputError(f"{path}: as {other} of the same person; leave one folder of frontal photos")
            found[int(path.stem)] = path
    if not found:
        raise InputError(f"--realy={folder}: no photo in {_PHOTOS}/ is named by a person's number, such as 1.jpg")
    return [BenchmarkPhoto(str(number), found[number], _truth(Path(folder), number)) for number in sorted(found)]


def _truth(folder: Path, number: int) -> tuple[Path, ...]:
    regions = [folder / _REGIONS / str(number) / f"{region}.obj" for region in KEYPOINTS]
    return folder / _SCALES, folder / _KEYPOINTS / f"{number}.obj", *regions


class Person:
    """A person's keypoints and regions, mm."""

    def __init__(self, number: int, scales: Path, keypoints: Path, *, regions: Sequence[Path]) -> None:
        """
        Raises:
          InputError: a file cannot be read or has another content.
        """
        scale = _scale_of(number, scales)
        points = read_points(keypoints)
        if len(points) != _KEYPOINT_COUNT:
            raise InputError(f"{keypoints}: {len(points)} points instead of {_KEYPOINT_COUNT}; take the files of REALY")
        self.keypoints: Float[np.ndarray, "68 3"] = scale * points[:68]
        self.regions: dict[str, Mesh] = {}
        for name, path in zip(KEYPOINTS, regions, strict=True):
            read = read_mesh(path)
            self.regions[name] = Mesh(scale * read.vertices.astype(np.float64), read.triangles)


def _scale_of(number: int, path: Path) -> float:
    """Millimetres in a unit of a person's files."""
    try:
        scales = [float(word) for word in path.read_text("utf-8", errors="replace").split()]
    except (OSError, ValueError):
        scales = []
    if not 1 <= number <= len(scales) or not 0 < scales[number - 1] < 1e6:
        raise InputError(f"{path}: no scale of person {number}; REALY's program has this file, a line for each person")
    return scales[number - 1]


def region_error(
    face: Mesh, landmarks: Float[np.ndarray, "68 3"], *, name: str, region: Mesh, keypoints: Float[np.ndarray, "68 3"]
) -> float:
    """The mean distance in mm of a region's points from their places on a face in any position.

    Args:
      landmarks, keypoints: iBUG's points of the face and of the scan.
      name: of the region, by which its keypoints are chosen.

    Raises:
      InputError: the region lies elsewhere than the keypoints.
    """
    start = by_landmarks(landmarks[SEVEN], keypoints[SEVEN])
    rows = KEYPOINTS[name]
    found, true = start(landmarks[rows]), keypoints[rows]
    placed = _near(Mesh(start(face.vertices), face.triangles), region)
    if not len(placed.triangles):
        raise InputError(f"{name}.obj: over {_NEAR:.0f} mm from the face by its keypoints; take one person's files")
    pose = _rigid(placed, region.vertices, (found, true), share=_SHARES.get(name, 1.0))
    placed, found = Mesh(pose(placed.vertices), placed.triangles), pose(found)
    bent = _bent_onto(placed, region, None if name == "cheek" else (found, true))
    corners, weights = SurfaceSearch(*placed).closest(bent)
    return float(np.linalg.norm(at(placed.vertices, corners, weights) - region.vertices, axis=1).mean())


def _near(face: Mesh, region: Mesh) -> Mesh:
    """The part of a face about a region, in which alone partners of its points are looked for."""
    near = cKDTree(region.vertices).query(face.vertices, distance_upper_bound=_NEAR)[0] < _NEAR
    return part_of(face, near[face.triangles].any(1))


def _rigid(face: Mesh, points: np.ndarray, marks: tuple[np.ndarray, np.ndarray], *, share: float) -> Pose:
    """The rigid motion of a face by closest points of a region and by keypoints, which count as often as the points."""
    points = points[:: -(-len(points) // _MOST_POINTS)]
    times = max(1, int(share * len(points) / len(marks[0])))
    found, true = (np.tile(each, (times, 1)) for each in marks)
    search, target, pose = SurfaceSearch(*face), np.concatenate([points, true]), Pose(1.0, np.eye(3), np.zeros(3))
    for _ in range(_ROUNDS):
        corners, weights = search.closest((points - pose.shift) @ pose.rotation)
        source = np.concatenate([at(face.vertices, corners, weights), found])
        _, rotation, centre = procrustes(source, target)
        before, pose = pose, Pose(1.0, rotation, target.mean(0) - rotation @ centre)
        if np.linalg.norm(pose(source) - before(source), axis=1).max() < _STILL:
            break
    return pose


def _bent_onto(face: Mesh, region: Mesh, marks: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    """A region's vertices [S, 3], bent onto a face; its border follows, so that the face beside it does not count."""
    border = registration.border_vertices(region.triangles, len(region.vertices))
    points = None
    if marks is not None:
        found, true = marks
        nearest = cKDTree(region.vertices).query(true)[1]
        wanted = found + region.vertices[nearest] - true  # a keypoint may lie beside the region
        points = registration.Points(np.repeat(nearest[:, None], 3, axis=1), np.full((len(true), 3), 1 / 3), wanted)
    return registration.bent(region, face, _BENDING, free=border, landmarks=points)


class RegionErrors:
    """Measures photos."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __call__(self, photo: BenchmarkPhoto) -> Row:
        """Errors of the four regions, of each level and of the mean face."""
        scales, keypoints, *regions = photo.truth
        person = Person(int(photo.name), scales, keypoints, regions=regions)
        face = self._job.reconstructor(photo.path)[0]
        measure = functools.partial(_errors, person)
        return {"levels": errors_by_level(face, measure, refined=self._job.refine)}


def _errors(person: Person, model: BaseModel, vertices: np.ndarray) -> Errors:
    face = Mesh(vertices, np.asarray(model.topology.triangles))
    marks = frontal_landmarks(model, face.vertices)
    errors = {
        name: region_error(face, marks, name=name, region=region, keypoints=person.keypoints)
        for name, region in person.regions.items()
    }
    return errors | {ALL: float(np.mean(list(errors.values())))}


def realy_table(job: Job, folder: str) -> Table:
    """Measures the frontal photos of REALY.

    Args:
      folder: with REALY_image, REALY_HIFI3D_keypoints, REALY_scan_region and metrical_scale.txt.

    Raises:
      InputError: parts are missing, no photo can be measured, or files cannot be written.
    """
    rows, failures = measured_photos(job, NAME, realy_photos(folder), measure=RegionErrors(job))
    note = (
        "mm: mean and SD over photos of the distances of a region's points from their places on the face. Each region "
        "is aligned by itself, without a change of size, and bent onto the face, which tells these places. All is the "
        "mean of the four regions."
    )
    parts = [_part(rows), *left_out(failures)]
    return Table(NAME, "REALY: four regions, frontal photos", note, parts, by_level(rows), _sheet(rows))


def _part(rows: Sequence[Row]) -> Part:
    names = (*KEYPOINTS, ALL)
    lines = [
        (level, *(f"{np.mean(errors):.2f} ± {np.std(errors):.2f}" for errors in found))
        for level, found in columns(rows, names).items()
    ]
    return Part(f"{len(rows)} photos, mm", ("", *names), lines)


def _sheet(rows: Sequence[Row]) -> np.ndarray:
    found = columns(rows, (*KEYPOINTS, ALL))
    lines = {level: cumulative(errors[-1]) for level, errors in found.items()}
    last = list(found)[-1]
    lines |= {f"{last}, {name}": cumulative(errors) for name, errors in zip(KEYPOINTS, found[last], strict=False)}
    return curves(lines, "mean distance of a photo's region, mm", "% of photos", reach=_REACH)
