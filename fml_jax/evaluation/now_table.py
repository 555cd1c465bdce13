"""Table "now": distances of neutral scans from reconstructions, by the protocol of NoW (Sanyal et al., 2019).

A face without its expression is brought to the scan by a similarity: by seven landmarks, then so that the squared
distances of the scan's points from its surface are least. The scan's points are those within a ball about the middle of
the face, whose radius follows from the landmarks. Each point's distance counts once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from fml_jax.errors import InputError
from fml_jax.evaluation.benchmark import BenchmarkPhoto, by_level, left_out, level_names, measured_photos
from fml_jax.evaluation.face_meshes import inner_landmarks
from fml_jax.evaluation.figures import curves, stacked
from fml_jax.evaluation.job import Job
from fml_jax.evaluation.kept_rows import Row
from fml_jax.evaluation.levels import MEAN, levels_of, without_expression
from fml_jax.evaluation.pooled_errors import Counted, pooled
from fml_jax.evaluation.scan_alignment import by_closest_points, by_landmarks
from fml_jax.evaluation.scan_landmarks import SEVEN_INNER, read_points
from fml_jax.evaluation.table import Part, Table
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.surfaces import Mesh, SurfaceSearch
from fml_jax.importers.mesh_files import read_mesh
from fml_jax.photos.reading import list_photos

NAME = "now"
_ALL = "all photos"
# Where the parts of the data set may lie within its folder.
_PLACES = "", "final_release_version", "NoW_Dataset", "NoW_Dataset/final_release_version"
_PHOTOS, _SCANS, _LANDMARKS = "iphone_pictures", "scans", "scans_lmks_onlypp"
_UP, _RADIUS = 0.3, 1.4  # of the ball: from below the nose to between the eyes; in means of two lengths
_REACH = 7.0  # mm, of the figure


class Scan(NamedTuple):
    """The part of a scan that is compared."""

    points: Float[np.ndarray, "S 3"]  # mm
    landmarks: Float[np.ndarray, "7 3"]


def now_photos(folder: str, split: str) -> list[BenchmarkPhoto]:
    """The photos of the data set's list for a split, or without a list those of all people with a scan.

    Args:
      split: "validation" or "test".

    Raises:
      InputError: a part of the data set is missing.
    """
    pictures, scans, marks = (_part(folder, name) for name in (_PHOTOS, _SCANS, _LANDMARKS))
    listed = [path for place in _PLACES if (path := Path(folder, place, f"imagepaths{split}.txt")).is_file()]
    if listed:
        lines = listed[0].read_text("utf-8", errors="replace").split()
        names = ["/".join(line.split("/")[-3:]) for line in lines]
    else:
        names = [path.relative_to(pictures).as_posix() for path in list_photos(pictures)]
        names = [name for name in names if (scans / name.partition("/")[0]).is_dir()]
    photos = []
    for name in names:
        subject, category = (*name.split("/"), "")[:2]
        truth = _only(scans / subject, ".obj"), _only(marks / subject, ".pp")
        photos.append(BenchmarkPhoto(name, pictures / name, truth, category))
    if not photos:
        raise InputError(f"--now={folder}: no photos of people with a scan; check {_PHOTOS}/ and {_SCANS}/")
    return photos


def _part(folder: str, name: str) -> Path:
    found = [path for place in _PLACES if (path := Path(folder, place, name)).is_dir()]
    if not found:
        raise InputError(
            f"--now={folder}: {name}/ is missing; give the folder of NoW with {_PHOTOS}, {_SCANS}, {_LANDMARKS}"
        )
    return found[0]


def _only(folder: Path, ending: str) -> Path:
    """The file of this kind in a folder; a name of a file that does not exist where there is none."""
    return min(folder.glob(f"*{ending}"), default=folder / f"*{ending}")


def in_ball(points: Float[np.ndarray, "N 3"], landmarks: Float[np.ndarray, "7 3"]) -> Bool[np.ndarray, "N"]:
    """Which points of a scan are compared: those within a ball about the middle of the face."""
    right, left, below_nose = landmarks[0], landmarks[3], landmarks[4]
    between = (landmarks[1] + landmarks[2]) / 2
    centre = below_nose + _UP * (between - below_nose)
    radius = _RADIUS * (np.linalg.norm(right - left) + np.linalg.norm(between - below_nose)) / 2
    return np.linalg.norm(points - centre, axis=1) <= radius


def read_scan(mesh: Path, landmarks: Path) -> Scan:
    """A scan's points within the ball, and its landmarks.

    Raises:
      InputError: a file cannot be read, or there are other than seven landmarks.
    """
    marks = read_points(landmarks)
    if len(marks) != 7:
        raise InputError(f"{landmarks}: {len(marks)} landmarks instead of seven; take the files of NoW")
    vertices = read_mesh(mesh).vertices.astype(np.float64)
    inside = in_ball(vertices, marks)
    if not inside.any():
        raise InputError(f"{mesh}: no vertex near the landmarks of {landmarks.name}; check the files")
    return Scan(vertices[inside], marks)


def distances_from(scan: Scan, face: Mesh, landmarks: Float[np.ndarray, "7 3"]) -> Float[np.ndarray, "S"]:
    """Distances of a scan's points from the surface of a face of any place and size, after the alignment."""
    pose = by_closest_points(face, scan.points, by_landmarks(landmarks, scan.landmarks))
    return SurfaceSearch(pose(face.vertices), face.triangles).distances(scan.points)


class ScanErrors:
    """Measures photos; the last scan stays in memory, since photos of a person follow each other."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._last: tuple[tuple[Path, ...], Scan, Row] | None = None

    def __call__(self, photo: BenchmarkPhoto) -> Row:
        """Distances of each level and of the mean face, as sums and counts."""
        scan, of_mean = self._scan(photo.truth)
        face = self._job.reconstructor(photo.path)[0]
        levels = {
            name: _sums(scan, level.model, without_expression(level))
            for name, level in levels_of(face, refined=self._job.refine)
        }
        return {"category": photo.group, "levels": {MEAN: of_mean} | levels}

    def _scan(self, truth: tuple[Path, ...]) -> tuple[Scan, Row]:
        if self._last is None or self._last[0] != truth:
            scan, model = read_scan(*truth), self._job.reconstructor.model
            self._last = truth, scan, _sums(scan, model, np.asarray(model.mean, np.float64))
        return self._last[1:]


def _sums(scan: Scan, model: BaseModel, vertices: np.ndarray) -> Row:
    mesh = Mesh(vertices, np.asarray(model.topology.triangles))
    found = distances_from(scan, mesh, inner_landmarks(model, vertices)[SEVEN_INNER])
    numbers = {"mean": float(found.mean()), "median": float(np.median(found)), "SD": float(found.std())}
    return numbers | Counted.of(found)._asdict()


def now_table(job: Job, folder: str) -> Table:
    """Measures the photos of NoW.

    Args:
      folder: with iphone_pictures, scans and scans_lmks_onlypp, or with the data set's own folders of these.

    Raises:
      InputError: parts are missing, no photo can be measured, or files cannot be written.
    """
    rows, failures = measured_photos(job, NAME, now_photos(folder, job.split), measure=ScanErrors(job))
    groups = {_ALL: rows}
    for category in sorted({row["category"] for row in rows}):
        groups[category] = [row for row in rows if row["category"] == category]
    parts = [_part_of(name, group) for name, group in groups.items()]
    note = (
        "mm: distances of the scan's points from the face without expression, after a similarity by seven landmarks "
        "and by the distances themselves. Points are pooled over photos. A photo that could not be measured is left "
        "out, which the benchmark's own program counts as missing."
    )
    flat = [{name: value for name, value in row.items() if name != "bins"} for row in by_level(rows)]
    return Table(NAME, "NoW: neutral scans", note, [*parts, *left_out(failures)], flat, _sheet(groups))


def _sheet(groups: dict[str, list[Row]]) -> np.ndarray:
    """Cumulative curves of all levels over all photos, and of the last level by category."""
    rows, label = groups[_ALL], "distance of a scan's point, mm"
    levels = level_names(rows)
    lines = {level: pooled(_of_level(rows, level)).curve for level in levels}
    last = {name: pooled(_of_level(group, levels[-1])).curve for name, group in groups.items()}
    by_category = {f"{levels[-1]}, {name}": curve for name, curve in last.items()}
    return stacked([curves(each, label, "% of points", reach=_REACH) for each in (lines, by_category)])


def _part_of(name: str, rows: Sequence[Row]) -> Part:
    lines = []
    for level in level_names(rows):
        sums = pooled(_of_level(rows, level))
        lines.append((level, *(f"{number:.2f}" for number in (sums.median, sums.mean, sums.sd))))
    return Part(f"{name}, {len(rows)} photos, mm", ("", "median", "mean", "SD"), lines)


def _of_level(rows: Sequence[Row], level: str) -> list[Row]:
    return [row["levels"][level] for row in rows]
