"""Table "aflw2000": landmarks and pose on AFLW2000-3D (Zhu et al., 2016), by yaw.

The data set has 68 points of each face in three dimensions: its contour is that of the face seen from the front, also
where the face hides it. So the points compared here have no sliding contour. Its angles are those of another face
model's axes, which differ from ours by a constant turn.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from fml_jax.corpus.target_face import shows_face
from fml_jax.errors import InputError
from fml_jax.evaluation.benchmark import BenchmarkPhoto, by_level, left_out, level_names, measured_photos
from fml_jax.evaluation.face_meshes import frontal_landmarks
from fml_jax.evaluation.figures import cumulative, curves
from fml_jax.evaluation.job import Job
from fml_jax.evaluation.kept_rows import Row
from fml_jax.evaluation.levels import levels_of
from fml_jax.evaluation.metrics import box_size, landmark_error, mean_distance
from fml_jax.evaluation.reference_faces import reference_face
from fml_jax.evaluation.table import Part, Table
from fml_jax.face_model.landmarks import CONTOUR
from fml_jax.image_formation.rotation import rotation_matrices
from fml_jax.importers.matlab import read_matlab
from fml_jax.reconstruction.reconstruction import Reconstruction

NAME = "aflw2000"
POINTS, INNER = "68 points", "51 inner points"
ANGLES = "yaw", "pitch", "roll"
YAW_BINS = ((0, 30), (30, 60), (60, 90))  # degrees to either side; the last one has the few beyond, too
MOST_TURNED = 99  # degrees: poses with a larger angle are left out of the angles' means, as is usual
_FRONTAL = np.diag([1.0, -1.0, -1.0])  # R of a face that looks into the camera; also from the camera's axes to theirs
_REACH = 10.0  # % of the box, of the figure


class Annotation(NamedTuple):
    """What a .mat file says of a face."""

    points: Float[np.ndarray, "68 2"]  # photo pixels
    angles: Float[np.ndarray, "3"]  # yaw, pitch, roll, degrees


def annotated_photos(folder: str) -> list[BenchmarkPhoto]:
    """The pairs of image00002.jpg and image00002.mat of a folder.

    Raises:
      InputError: there is none.
    """
    paths = sorted(Path(folder).glob("*.mat"))
    if not paths:
        raise InputError(f"--aflw2000={folder}: no .mat file; give the folder with image00002.jpg and image00002.mat")
    return [BenchmarkPhoto(path.stem, path.with_suffix(".jpg"), (path,)) for path in paths]


def read_annotation(path: Path) -> Annotation:
    """The points `pt3d_68` and the angles of `Pose_Para`.

    Raises:
      InputError: the file cannot be read or lacks one of them.
    """
    arrays = read_matlab(path, ["pt3d_68", "Pose_Para"])
    points, pose = (np.asarray(arrays.get(name, ()), np.float64) for name in ("pt3d_68", "Pose_Para"))
    if points.shape != (3, 68) or pose.size < 3 or not (np.isfinite(points).all() and np.isfinite(pose).all()):
        raise InputError(f"{path}: no pt3d_68 of 3 × 68 numbers and Pose_Para of 7; take the files of AFLW2000-3D")
    pitch, yaw, roll = np.degrees(pose.ravel()[:3])
    return Annotation(points[:2].T - 1, np.array([yaw, pitch, roll]))  # MATLAB's pixels count from 1


def angles_in_photo(face: Reconstruction) -> Float[np.ndarray, "3"]:
    """Yaw, pitch and roll of a face in its photo by the data set's convention, degrees.

    A crop may be turned against its photo. With x right, y up and z towards the viewer, the data set's rotation is
    R_x(−pitch) R_y(−yaw) R_z(−roll).
    """
    turn = -math.atan2(face.crop_from_photo[1, 0], face.crop_from_photo[0, 0])
    upright = rotation_matrices(face.rotation).astype(np.float64)
    rotation = _FRONTAL @ Rotation.from_rotvec([0, 0, turn]).as_matrix() @ upright
    pitch, yaw, roll = -Rotation.from_matrix(rotation).as_euler("XYZ", degrees=True)
    return np.array([yaw, pitch, roll])


def same_axes(found: Float[np.ndarray, "P 3"], true: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
    """Angles found (yaw, pitch, roll, degrees) without the turn between two face models' axes, the mean over photos."""
    theirs, ours = _rotations(true), _rotations(found)
    turned = ours * (theirs.inv() * ours).mean().inv()
    return -turned.as_euler("XYZ", degrees=True)[:, [1, 0, 2]]


def _rotations(angles: Float[np.ndarray, "P 3"]) -> Rotation:
    return Rotation.from_euler("XYZ", -angles[:, [1, 0, 2]], degrees=True)


class FaceErrors:
    """Measures photos."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __call__(self, photo: BenchmarkPhoto) -> Row:
        """Landmark errors and angles at each level, beside the annotated angles."""
        known = read_annotation(photo.truth[0])
        face, detected = self._face(photo.path, known.points)
        levels = {name: _errors(level, known.points) for name, level in levels_of(face, refined=self._job.refine)}
        truth = {f"true {name}": float(angle) for name, angle in zip(ANGLES, known.angles, strict=True)}
        return {"detected": detected, **truth, "levels": levels}

    def _face(self, path: Path, points: np.ndarray) -> tuple[Reconstruction, bool]:
        """The annotated face, and whether the detector found it; else the box about its points is taken."""
        try:
            faces = list(self._job.reconstructor(path))
        except InputError:
            faces = []
        for face in faces:
            if shows_face(tuple(face.box), points):
                return face, True
        return self._job.reconstructor(path, boxes=[reference_face(points).box])[0], False


def _errors(face: Reconstruction, points: np.ndarray) -> dict[str, float]:
    found = frontal_landmarks(face.model, face.projected)
    inner = mean_distance(found[CONTOUR:], points[CONTOUR:]) / box_size(points)
    errors = {POINTS: landmark_error(found, points), INNER: inner}
    return errors | dict(zip(ANGLES, angles_in_photo(face).tolist(), strict=True))


def aflw2000_table(job: Job, folder: str) -> Table:
    """Measures the photos of AFLW2000-3D.

    Args:
      folder: with image00002.jpg, image00002.mat and so on.

    Raises:
      InputError: no photo can be measured, or files cannot be written.
    """
    rows, failures = measured_photos(job, NAME, annotated_photos(folder), measure=FaceErrors(job))
    detected = sum(row["detected"] for row in rows)
    parts = [_landmarks(rows, points) for points in (POINTS, INNER)] + _poses(rows)
    note = (
        f"{len(rows)} photos; in {detected} the detector found the annotated face, in the others the box about the "
        "annotated points was given. Landmark errors are parts of √(w·h) of the box about the 68 annotated points, "
        "whose contour does not slide. Their mean and SD are those of the three bins, as in the field's tables. The "
        "axes of the annotation's face model and of ours differ by a constant turn, which is removed in the last part."
    )
    return Table(
        NAME, "AFLW2000-3D: landmarks and pose", note, [*parts, *left_out(failures)], by_level(rows), _sheet(rows)
    )


def _landmarks(rows: Sequence[Row], points: str) -> Part:
    binned = {name: [row for row in rows if _bin(row) == k] for k, name in enumerate(_bin_names())}
    lines = []
    for level in level_names(rows):
        means = [
            100 * np.mean([row["levels"][level][points] for row in part]) if part else np.nan
            for part in binned.values()
        ]
        cells = ["" if np.isnan(mean) else f"{mean:.2f}" for mean in (*means, np.nanmean(means), np.nanstd(means))]
        lines.append((level, *cells))
    header = ("", *(f"{name} ({len(part)})" for name, part in binned.items()), "mean of bins", "SD of bins")
    return Part(f"Normalised mean error of {points}, %, by yaw", header, lines)


def _bin_names() -> list[str]:
    return [f"{low}–{high}°" for low, high in YAW_BINS]


def _bin(row: Row) -> int:
    return min(int(abs(row["true yaw"]) // 30), len(YAW_BINS) - 1)


def _poses(rows: Sequence[Row]) -> list[Part]:
    kept = [row for row in rows if max(abs(row[f"true {name}"]) for name in ANGLES) <= MOST_TURNED]
    if not kept:
        return []
    true = np.array([[row[f"true {name}"] for name in ANGLES] for row in kept])
    lines: dict[str, list[tuple[str, ...]]] = {"": [], ", the constant turn of the axes removed": []}
    for level in level_names(kept):
        found = np.array([[row["levels"][level][name] for name in ANGLES] for row in kept])
        for angles, part in zip((found, same_axes(found, true)), lines.values(), strict=True):
            gaps = np.abs((angles - true + 180) % 360 - 180).mean(axis=0)
            part.append((level, *(f"{gap:.2f}" for gap in (*gaps, gaps.mean()))))
    title = f"Mean absolute error of the pose, degrees, {len(kept)} photos up to {MOST_TURNED}°"
    return [Part(f"{title}{how}", ("", *ANGLES, "mean"), part) for how, part in lines.items()]


def _sheet(rows: Sequence[Row]) -> np.ndarray:
    lines = {}
    for level in level_names(rows):
        for k, name in enumerate(_bin_names()):
            errors = [100 * row["levels"][level][POINTS] for row in rows if _bin(row) == k]
            if errors:
                lines[f"{level}, yaw {name}"] = cumulative(np.array(errors))
    return curves(lines, "normalised mean error of 68 points, %", "% of photos", reach=_REACH)
