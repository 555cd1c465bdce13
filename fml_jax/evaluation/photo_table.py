"""Table "photos": found faces, landmarks, pose and colours on held-out photos, and the histogram of photometric errors.

The reference landmarks are MediaPipe's; the reference pose is that of the model's face that fits them best.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from absl import logging

from fml_jax.corpus.target_face import shows_face
from fml_jax.errors import InputError
from fml_jax.evaluation.error_pictures import MOST, SIZE, error_strip
from fml_jax.evaluation.figures import heat_scale, histograms, stacked, write_picture
from fml_jax.evaluation.job import Job
from fml_jax.evaluation.kept_rows import Row
from fml_jax.evaluation.photo_sets import GROUPS, described, photos_to_measure, read_with_surroundings
from fml_jax.evaluation.photos import (
    DISTANCES,
    EXPECTED,
    colour_error,
    errors_by_uncertainty,
    lighting,
    network_errors,
    refined_errors,
    span_errors,
)
from fml_jax.evaluation.table import Part, Table
from fml_jax.evaluation.tables import SUMMARY_HEADER, summary_rows
from fml_jax.files import output_folder
from fml_jax.photos.landmarks import detect_landmarks, ibug68
from fml_jax.photos.reading import read_photo
from fml_jax.reconstruction.reconstructor import Reconstructor

NAME = "photos"
# What errors are listed by: a title, the rows' column, and the bins of its absolute values.
_BINS = (
    ("yaw, degrees,", "yaw", ((0, 15), (15, 30), (30, 90))),
    ("brightness", "brightness", ((0, 0.35), (0.35, 0.5), (0.5, 1.01))),
    ("light from one side", "side light", ((0, 0.1), (0.1, 0.25), (0.25, 1.01))),
    ("age", "age", ((0, 16), (16, 40), (40, 65), (65, 130))),
)
ACCEPTED = 0.5  # least score

STRIPS = "strips"  # folder of the pictures of errors, within the folder of the kept rows
_MOST_STRIPS = 12

# The columns of the histogram, and what its lines are called.
_LEVELS = {
    "colours, whole face, base level": "base level",
    "colours, whole face": "final level",
    "colours, refined": "refined (skin)",
}


class PhotoErrors:
    """Measures photos, one after the other; networks are loaded with the first."""

    def __init__(self, job: Job, strips: Path) -> None:
        """`strips` is the folder for pictures of errors, which the first faces get."""
        self._job, self._strips = job, strips

    @cached_property
    def _unsolved(self) -> Reconstructor:
        return self._job.reconstructor_with(solve_colours=False, level="base")

    def __call__(self, path: Path) -> Row | None:
        """One photo's numbers; None where the reference finds no face or, with a warning, the photo cannot be read."""
        try:
            photo = read_with_surroundings(path)
        except InputError as error:
            logging.warning("left out: %s", error)
            return None
        about = described(path)
        marks = detect_landmarks(photo)
        if marks is None:
            return None
        reference = ibug68(marks)
        try:
            faces = list(self._job.reconstructor(photo))
        except InputError:
            faces = []
        right = [face for face in faces if shows_face(tuple(face.box), reference)]
        wrong = [face.score for face in faces if not shows_face(tuple(face.box), reference)]
        row = {"photo": str(path), "found": bool(right), "wrong_boxes": " ".join(f"{score:.3f}" for score in wrong)}
        row |= {} if about is None else about._asdict()
        return row | (self._errors(path.stem, right[0], reference) if right else {})

    def _errors(self, name, face, reference) -> Row:
        if len(list(self._strips.glob("*.png"))) < _MOST_STRIPS:
            write_picture(self._strips / f"{name}.png", error_strip(face))
        unsolved = self._unsolved(face.photo, boxes=[tuple(face.box)])[0]
        return {
            "score": face.score,
            **network_errors(face, reference),
            **span_errors(face, reference),
            **lighting(face),
            "colours, network alone": colour_error(unsolved),
            **(refined_errors(face, reference) if self._job.refine else {}),
        }


def photo_table(job: Job, photos: str) -> Table:
    """Measures the first photos of people of the job's split.

    Args:
      photos: folder of photos, one folder per person.

    Raises:
      InputError: no photo of the split, none with a face, or files cannot be written.
    """
    paths = photos_to_measure(photos, job.split)[: job.count]
    kept = job.rows(NAME)
    strips = output_folder(kept.path.with_suffix("") / STRIPS)
    rows = kept.measured(paths, PhotoErrors(job, strips), workers=job.workers)
    if not rows:
        raise InputError(f"--photos={photos}: MediaPipe finds no face in {len(paths)} photos of the {job.split} split")
    return table_of(rows, strips)


def table_of(rows: Sequence[Row], strips: Path) -> Table:
    """The table of measured photos.

    Args:
      strips: folder of pictures of errors, which become part of the sheet.
    """
    columns: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            if name.startswith(("landmarks", "colours")):
                columns[name].append(value)
    found = [row for row in rows if row["found"]]
    of_landmarks = {name: column for name, column in columns.items() if name.startswith("landmarks")}
    of_colours = {name: column for name, column in columns.items() if name.startswith("colours")}
    parts = [
        _counts(rows),
        Part("Landmark error, normalised by √(w·h)", SUMMARY_HEADER, summary_rows(of_landmarks, percent=True)),
        *_by_uncertainty(found),
        _pose_part(found),
        _by_conditions(found),
        Part("Colour error, RGB distance over visible skin vertices", SUMMARY_HEADER, summary_rows(of_colours)),
    ]
    shown = {title: columns[name] for name, title in _LEVELS.items() if columns[name]}
    sheets = [histograms(shown, "photometric error of a photo, RGB distance", reach=MOST)] if shown else []
    pictures = [read_photo(path) for path in sorted(strips.glob("*.png"))]
    if pictures:
        sheets += [heat_scale(MOST, "RGB distance", 3 * SIZE), *pictures]
    note = "Landmarks against MediaPipe's; colours against the photo, over visible vertices."
    return Table(NAME, "Photos: landmarks and colours", note, parts, rows, stacked(sheets) if sheets else None)


def _counts(rows) -> Part:
    found = [row for row in rows if row["found"]]
    sure = [row for row in found if row["score"] >= ACCEPTED]
    wrong = [float(score) for row in rows for score in row["wrong_boxes"].split()]
    counts = [
        ("photos with a face by MediaPipe", len(rows)),
        ("face found", f"{len(found)} ({100 * len(found) / len(rows):.2f} %)"),
        (f"… and its score is at least {ACCEPTED}", f"{len(sure)} ({100 * len(sure) / len(rows):.2f} %)"),
        ("other boxes (beside the face, or bystanders)", len(wrong)),
        (f"… that score under {ACCEPTED}", sum(score < ACCEPTED for score in wrong)),
    ]
    return Part("", ("", ""), counts)


def _pose_part(rows: Sequence[Row]) -> Part:
    columns = {name: [row[name] for row in rows if name in row] for name in ("pose", "pose, refined")}
    lines = summary_rows({name: column for name, column in columns.items() if column})
    return Part("Pose, degrees from that of the model's face that fits MediaPipe's landmarks", SUMMARY_HEADER, lines)


def _by_uncertainty(rows: Sequence[Row]) -> list[Part]:
    """Landmark errors where the network expects the smallest and the largest ones; nothing if it expects none."""
    pairs = [(np.array(row[EXPECTED]), np.array(row[DISTANCES])) for row in rows if EXPECTED in row]
    if not pairs:
        return []
    together = errors_by_uncertainty(*map(np.concatenate, zip(*pairs, strict=True)))
    of_faces = [errors_by_uncertainty(*pair) for pair in pairs]
    lines = [
        ("of all landmarks of all photos", *_shares(together)),
        ("of each photo's landmarks, mean of the photos", *_shares(_joined(of_faces))),
    ]
    header = ["", "surest half", "least sure tenth", "ratio"]
    return [Part("Landmark error by the error that the network expects", header, lines)]


def _joined(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _shares(errors):
    sure, unsure = errors["surest half"].mean(), errors["least sure tenth"].mean()
    return f"{100 * sure:.2f} %", f"{100 * unsure:.2f} %", f"{unsure / max(sure, 1e-9):.2f}"


def _by_conditions(rows: Sequence[Row]) -> Part:
    """The network's errors, and those after refinement, by what the photo shows."""
    groups: dict[str, list[Row]] = {}
    for title, column, bins in _BINS:
        for low, high in bins:
            groups[f"{title} {low:g}–{high:g}"] = [
                row for row in rows if column in row and low <= abs(row[column]) < high
            ]
    for group in GROUPS:
        groups[group] = [row for row in rows if row.get("group") == group]
    refined = any("landmarks, refined" in row for row in rows)
    header = ["", "n", "landmarks, mean", "median", "p90", "pose, mean", *(["refined", "pose"] if refined else [])]
    lines = [(name, *_of_group(found, refined)) for name, found in groups.items() if found]
    return Part("By yaw, light, age and group; the last two of photos that are named as UTKFace's", header, lines)


def _of_group(rows, refined) -> list[str | int]:
    marks = [row["landmarks"] for row in rows]
    numbers = [f"{100 * number:.2f} %" for number in (np.mean(marks), np.median(marks), np.percentile(marks, 90))]
    cells: list[str | int] = [len(rows), *numbers, f"{np.mean([row['pose'] for row in rows]):.1f}°"]
    if refined:
        fitted = [row for row in rows if "landmarks, refined" in row]
        cells += [
            f"{100 * np.mean([row['landmarks, refined'] for row in fitted]):.2f} %",
            f"{np.mean([row['pose, refined'] for row in fitted]):.1f}°",
        ]
    return cells
