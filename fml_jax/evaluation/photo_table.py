"""Table "photos": found faces, landmarks and colours on held-out photos, and the histogram of photometric errors.

The reference landmarks are MediaPipe's.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from fml_jax.corpus.splits import split_of
from fml_jax.corpus.target_face import shows_face
from fml_jax.errors import InputError
from fml_jax.evaluation.error_pictures import MOST, SIZE, error_strip
from fml_jax.evaluation.figures import heat_scale, histograms, stacked, write_picture
from fml_jax.evaluation.job import Job
from fml_jax.evaluation.kept_rows import Row
from fml_jax.evaluation.photos import colour_error, network_errors, refined_errors, span_errors
from fml_jax.evaluation.table import Part, Table
from fml_jax.evaluation.tables import SUMMARY_HEADER, summary_rows
from fml_jax.files import output_folder
from fml_jax.photos.landmarks import detect_landmarks, ibug68
from fml_jax.photos.reading import list_photos, read_photo
from fml_jax.reconstruction.reconstructor import Reconstructor

NAME = "photos"
YAW_BINS = ((0, 15), (15, 30), (30, 90))
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
        """One photo's numbers; None where the reference finds no face."""
        marks = detect_landmarks(read_photo(path))
        if marks is None:
            return None
        reference = ibug68(marks)
        try:
            faces = list(self._job.reconstructor(path))
        except InputError:
            faces = []
        right = [face for face in faces if shows_face(tuple(face.box), reference)]
        wrong = [face.score for face in faces if not shows_face(tuple(face.box), reference)]
        row = {"photo": str(path), "found": bool(right), "wrong_boxes": " ".join(f"{score:.3f}" for score in wrong)}
        return row | (self._errors(right[0], reference) if right else {})

    def _errors(self, face, reference) -> Row:
        if len(list(self._strips.glob("*.png"))) < _MOST_STRIPS:
            write_picture(self._strips / f"{face.name}.png", error_strip(face))
        unsolved = self._unsolved(face.photo, boxes=[tuple(face.box)])[0]
        return {
            "score": face.score,
            "yaw": face.angles[0],
            **network_errors(face, reference),
            **span_errors(face, reference),
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
    paths = held_out_photos(photos, job.split)[: job.count]
    kept = job.rows(NAME)
    strips = output_folder(kept.path.with_suffix("") / STRIPS)
    rows = kept.measured(paths, PhotoErrors(job, strips))
    if not rows:
        raise InputError(f"--photos={photos}: MediaPipe finds no face in {len(paths)} photos of the {job.split} split")
    return table_of(rows, strips)


def held_out_photos(photos: str, split: str) -> list[Path]:
    """The photos of people of a split, in order.

    Raises:
      InputError: there are none.
    """
    paths = [path for path in list_photos(photos) if split_of(path.parent.name) == split]
    if not paths:
        raise InputError(
            f"--photos={photos}: no folder's name falls into the {split} split (one person in sixteen); "
            "photos lie in one folder a person"
        )
    return paths


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
    of_landmarks = {name: column for name, column in columns.items() if name.startswith("landmarks")}
    of_colours = {name: column for name, column in columns.items() if name.startswith("colours")}
    parts = [
        _counts(rows),
        Part("Landmark error, normalised by √(w·h)", SUMMARY_HEADER, summary_rows(of_landmarks, percent=True)),
        Part("The network's, by yaw", SUMMARY_HEADER, summary_rows(_by_yaw(rows), percent=True)),
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


def _by_yaw(rows) -> dict[str, list[float]]:
    found = [row for row in rows if row["found"]]
    columns = {
        f"yaw {low}–{high}° to either side": [row["landmarks"] for row in found if low <= abs(row["yaw"]) < high]
        for low, high in YAW_BINS
    }
    return {name: column for name, column in columns.items() if column}
