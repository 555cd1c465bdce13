"""Table "consistency": whether a person stays the same over frames and photos, and a face under harmless changes."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from fml_jax.corpus.splits import split_of
from fml_jax.errors import InputError
from fml_jax.evaluation.changes import Changed, changes_of
from fml_jax.evaluation.figures import histograms, stacked
from fml_jax.evaluation.identity import PAIRS_HEADER, distances_between, neutral_levels, pairs_of
from fml_jax.evaluation.job import Job
from fml_jax.evaluation.kept_rows import Row
from fml_jax.evaluation.levels import BASE, FINAL
from fml_jax.evaluation.metrics import geometry_error, landmark_error
from fml_jax.evaluation.photo_sets import held_out_photos, with_company
from fml_jax.evaluation.scans import compared
from fml_jax.evaluation.table import Part, Table
from fml_jax.face_model.mirror import Mirror
from fml_jax.photos.reading import list_photos, read_photo
from fml_jax.reconstruction.reconstruction import Reconstruction

NAME = "consistency"
LEVELS = BASE, FINAL
_THINNING = 16  # every so many vertices of the face are compared between people
_MOST_CHANGED = 100  # photos that are changed
_REACH = 4.0  # mm, of the histogram


class Neutral:
    """Measures the neutral face of a photo."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __call__(self, path: Path) -> Row | None:
        """The photo's person, and points of the neutral face at each level; None where no face is found."""
        face = central_face(self._job, path)
        if face is None:
            return None
        members = np.flatnonzero(compared(face.model))[::_THINNING]
        levels = {name: np.round(points[members].astype(float), 2) for name, points in neutral_levels(face).items()}
        return {"photo": str(path), "person": path.parent.name, "neutral": levels}


class Changes:
    """Measures how far changes of a photo move its face."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @cached_property
    def _mirror(self) -> Mirror:
        return Mirror(self._job.reconstructor.model)

    def __call__(self, path: Path) -> Row | None:
        """For each kind of change and level mm, and landmarks as a part of the face's size; None without a face."""
        first = central_face(self._job, path)
        if first is None:
            return None
        box = first.box.tolist()
        changes = changes_of(read_photo(path), (box[0], box[1], box[2], box[3]))
        faces = list(self._job.reconstructor([each.rgb for each in changes], boxes=[[each.box] for each in changes]))
        moved: dict[str, list[float]] = defaultdict(list)
        for change, face in zip(changes[1:], faces[1:], strict=True):
            for level in ("base", "final") if face.final_code is not None else ("base",):
                numbers = self._compared(faces[0].level(level), face.level(level), change)
                for measure, number in numbers.items():
                    moved[f"{change.kind}, {level} level, {measure}"].append(number)
        return {"photo": str(path), **{name: float(np.mean(numbers)) for name, numbers in moved.items()}}

    def _compared(self, before: Reconstruction, after: Reconstruction, change: Changed) -> dict[str, float]:
        vertices = self._mirror(after.vertices) if change.mirrored else np.asarray(after.vertices, np.float64)
        shape = geometry_error(vertices[None], before.vertices[None], compared(before.model))
        return {"mm": shape, "landmarks": landmark_error(change.landmarks(after.landmarks68), before.landmarks68)}


def central_face(job: Job, path: Path) -> Reconstruction | None:
    """The face nearest to the photo's middle, where data sets have theirs; None where none is found."""
    try:
        faces = list(job.reconstructor(path))
    except InputError:
        return None
    middle = np.array(faces[0].photo.shape[1::-1]) / 2
    return min(faces, key=lambda face: float(np.linalg.norm(face.box.reshape(2, 2).mean(0) - middle)))


def consistency_table(job: Job, photos: str | None, frames: str | None, *, people: int, frames_each: int) -> Table:
    """Measures people over frames, photos of one person beside others', and changed photos.

    Args:
      photos: folder of photos, one folder per person; people with several photos count for identity.
      frames: folder of frames of clips, one folder per person.
      people: of the frames, at most.
      frames_each: of a person, at most.

    Raises:
      InputError: neither folder is given, nobody of the split is in it, or files cannot be written.
    """
    if photos is None and frames is None:
        raise InputError("--tables=consistency: give --photos=FOLDER, --frames=FOLDER or both")
    kept, groups = job.rows(NAME), {}
    if frames is not None:
        paths = frames_of_people(frames, job.split, people, most=frames_each)
        groups["frames of clips"] = kept.measured(paths, Neutral(job), unit="frame", workers=job.workers)
    changed: list[Row] = []
    if photos is not None:
        several = with_company(held_out_photos(photos, job.split))[: job.count]
        groups["photos"] = kept.measured(several, Neutral(job), workers=job.workers)
        paths = held_out_photos(photos, job.split)[: min(job.count, _MOST_CHANGED)]
        changed = job.rows(f"{NAME}_changes").measured(paths, Changes(job), workers=job.workers)
    return _table({name: rows for name, rows in groups.items() if rows}, changed)


def frames_of_people(folder: str, split: str, people: int, *, most: int) -> list[Path]:
    """Frames of the first people of a split, spread over each person's.

    Raises:
      InputError: there are none.
    """
    by_person: dict[str, list[Path]] = defaultdict(list)
    for path in list_photos(folder):
        if split_of(path.parent.name) == split:
            by_person[path.parent.name].append(path)
    if not by_person:
        raise InputError(f"--frames={folder}: no folder's name falls into the {split} split (one person in sixteen)")
    chosen = [by_person[name] for name in sorted(by_person)[:people]]
    return [paths[k] for paths in chosen for k in np.unique(np.linspace(0, len(paths) - 1, most).round().astype(int))]


def _table(groups: dict[str, list[Row]], changed: Sequence[Row]) -> Table:
    lines, sheets = [], []
    for group, rows in groups.items():
        people = [row["person"] for row in rows]
        shown: dict[str, list[float]] = {}
        for level in LEVELS:
            if not all(level in row["neutral"] for row in rows):
                continue
            pairs = pairs_of(distances_between(np.array([row["neutral"][level] for row in rows])), people)
            if len(pairs.same) and len(pairs.different):
                lines.append((group, level, len(set(people)), len(rows), len(pairs.same), *pairs.cells))
                shown[f"{level}, same person"] = pairs.same.tolist()
                shown[f"{level}, different people"] = pairs.different.tolist()
        if shown:
            sheets.append(histograms(shown, f"{group}: mm between neutral faces", reach=_REACH))
    header = ("", "level", "people", "pictures", "same pairs", *PAIRS_HEADER)
    parts = [Part("Neutral faces of two pictures, mm", header, lines)] if lines else []
    if changed:
        parts.append(_changes_part(changed))
    note = (
        "Distances of neutral faces are means over the face's vertices after a similarity; within a person, between "
        "people, and the area under the ROC curve of telling same from different pairs. Changes move vertices (after "
        "a similarity) and landmarks (of √(w·h)) by so much."
    )
    flat = [{name: row[name] for name in ("photo", "person")} for rows in groups.values() for row in rows]
    return Table(NAME, "Consistency", note, parts, [*flat, *changed], stacked(sheets) if sheets else None)


def _changes_part(rows: Sequence[Row]) -> Part:
    names = dict.fromkeys(name.rpartition(", ")[0] for row in rows for name in row if name != "photo")
    lines = []
    for name in names:
        shape, marks = ([row[f"{name}, {measure}"] for row in rows] for measure in ("mm", "landmarks"))
        lines.append((name, len(rows), f"{np.median(shape):.3f}", f"{100 * np.median(marks):.3f} %"))
    return Part("Changes of a photo, medians", ("", "photos", "vertices, mm", "landmarks"), lines)
