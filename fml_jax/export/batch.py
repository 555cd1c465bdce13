"""Reconstructs many photos into one folder: many processes, little memory, and continued after an interruption.

Photos are cut into jobs of equal numbers, in order. A job's results depend on its photos alone, so the files are the
same byte for byte whatever the runner and the number of workers. The launching process keeps an entry for each photo
(`result_folder`); what has one is not done again. A job that was cut off is done again as a whole.
"""

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fml_jax.errors import InputError, printable
from fml_jax.export.formats import ALL_ENDINGS, endings_of
from fml_jax.export.job_task import ReconstructTask
from fml_jax.export.jobs import (
    PHOTOS_PER_JOB,
    PHOTOS_PER_REFINING_JOB,
    JobPhoto,
    JobResult,
    Settings,
    files_of_face,
)
from fml_jax.export.names import stems_of_folder
from fml_jax.export.page import CAPTIONS, PICTURES
from fml_jax.export.result_folder import PhotoEntry, ResultFolder
from fml_jax.export.viewer.folder import SCRIPTS
from fml_jax.files import PARTIAL_SUFFIX, DiskFullError
from fml_jax.photos.reading import photos_by_folder
from fml_jax.runners import Note, Runner, run_in_processes
from fml_jax.worker_processes import available_cores

JOBS_PER_WORKER = 2  # with fewer jobs, starting another process takes longer than it saves

_DEFAULT_SETTINGS = Settings()
_PICTURE_ENDINGS = tuple(ending for ending in ALL_ENDINGS if ending.endswith(".png"))
_OWN_PICTURE = re.compile(rf"_\d+(?:({'|'.join(map(re.escape, _PICTURE_ENDINGS))})|\.({'|'.join(CAPTIONS)})\.jpg)")
_PARTIAL = re.compile(rf"\.\d+-\d+{re.escape(PARTIAL_SUFFIX)}$")


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run; outcomes of runs into the same folder can be added."""

    faces: int = 0  # of the photos that were given, also those that an earlier run has done
    disk_full: str | None = None  # the reason why it was stopped
    interrupted: bool = False  # by Ctrl-C

    @property
    def stopped(self) -> bool:
        """Whether photos are left."""
        return self.interrupted or self.disk_full is not None

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.faces + other.faces, self.disk_full or other.disk_full, self.interrupted or other.interrupted
        )


def reconstruct_photos(
    place: str | os.PathLike,
    results: ResultFolder,
    settings: Settings = _DEFAULT_SETTINGS,
    *,
    workers: int = 1,
    runner: Runner = run_in_processes,
    redo: bool = False,
    load: Callable[..., Any] | None = None,
    report: Callable[[PhotoEntry], None] = lambda entry: None,
    note: Note = lambda rejected, items=1: None,
) -> Outcome:
    """Saves the faces of all photos that a path, folder or pattern stands for, but for those done already.

    The faces of `sub/a.jpg` in a folder of photos are saved as `sub/a_0.npz` and so on. A photo counts as done if it
    has the same size and time as before, the settings are the same, and the files are there.

    Args:
      results: of the folder to write into.
      workers: processes.
      runner: see `fml_jax.runners`.
      redo: do all photos again.
      load: makes the reconstructor from its arguments, once in each process; picklable. None is `Reconstructor`.
      report: called with the entry of each photo that is done.
      note: counts photos, those done already among them; rejected are those without a face.

    Raises:
      InputError: there are no photos, the settings cannot be used, or workers die again and again.
    """
    folder = results.path.parent
    plan = _Plan(results, place, settings, redo=redo, note=note)
    faces, stopped = 0, JobResult([])
    try:
        with contextlib.closing(
            runner(
                ReconstructTask(folder, settings, load, alone=workers == 1),
                plan.jobs(settings.photos_per_job),
                workers,
                note=note,
            )
        ) as finished:
            for result in finished:
                results.store(result.entries)
                for entry in result.entries:
                    faces += len(entry.faces)
                    report(entry)
                if result.disk_full or result.interrupted:
                    stopped = result
                    break
    except DiskFullError as error:
        stopped = JobResult([], disk_full=str(error))
    except KeyboardInterrupt:
        stopped = JobResult([], interrupted=True)
    finally:
        plan.remove_left_overs()  # of workers that were killed
    return Outcome(faces + plan.faces_before, stopped.disk_full, stopped.interrupted)


def count_photos(place: str | os.PathLike, folder: Path) -> int:
    """How many photos a path, folder or pattern stands for, without pictures that are results in `folder`.

    Raises:
      InputError: there is none.
    """
    count = sum(len(photos) for photos in _foreign_photos(place, folder))
    if not count:
        raise InputError(f"{place}: all pictures in it were made by an earlier run; name the photos")
    return count


def forget_others(results: ResultFolder, places: Sequence[str | os.PathLike]) -> None:
    """Removes entries and files of the photos that none of some paths, folders or patterns stands for."""
    folder = results.path.parent
    kept = {os.path.abspath(photo) for place in places for photos in photos_by_folder(place) for photo in photos}
    for path in list(results.paths()):
        entry = None if path in kept else results.find(path)
        if entry is not None:
            for face in entry.faces:
                for file in files_of_face(folder, entry.stem, face.index):
                    file.unlink(missing_ok=True)
            results.forget(path)


def default_workers(photos: int, refine: bool) -> int:
    """One for each core, or less for so few photos that processes would cost more time than they save."""
    size = PHOTOS_PER_REFINING_JOB if refine else PHOTOS_PER_JOB
    return max(1, min(available_cores(), photos // (size * JOBS_PER_WORKER)))


class _Plan:
    """The jobs of a run, listed as they are needed."""

    def __init__(
        self, results: ResultFolder, place: str | os.PathLike, settings: Settings, *, redo: bool, note: Note
    ) -> None:
        self.faces_before = 0  # of photos that need not be done
        self._results, self._place = results, place
        self._settings, self._endings = settings.fingerprint(), endings_of(settings.formats)
        self._redo, self._note = redo, note
        self._folder, self._root = results.path.parent, _root(place)
        self._written: set[Path] = set()  # folders

    def jobs(self, size: int) -> Iterator[list[JobPhoto]]:
        """Jobs with something to do."""
        photos = itertools.chain.from_iterable(map(self._of_folder, _foreign_photos(self._place, self._folder)))
        while batch := list(itertools.islice(photos, size)):
            done = [entry for _, entry in batch if entry is not None]
            if len(done) == len(batch):
                for entry in done:
                    self.faces_before += len(entry.faces)
                    self._note(not entry.faces)
                continue
            self._written.update((self._folder / photo.stem).parent for photo, _ in batch)
            for folder in (PICTURES, SCRIPTS):
                self._written.update((self._folder / folder / photo.stem).parent for photo, _ in batch)
            yield [photo for photo, _ in batch]

    def remove_left_overs(self) -> None:
        """Removes unfinished files from the folders that jobs have written into."""
        for folder in self._written:
            _remove_left_overs(folder)

    def _of_folder(self, photos: list[Path]) -> Iterator[tuple[JobPhoto, PhotoEntry | None]]:
        """A folder's photos, each with its entry if it is done."""
        paths = [os.path.abspath(photo) for photo in photos]
        shown = [_relative(path, self._root) for path in paths]
        parent = os.path.dirname(shown[0])
        _remove_left_overs(self._folder / parent)
        for folder in (PICTURES, SCRIPTS):
            _remove_left_overs(self._folder / folder / parent)
        of_name = dict(zip(map(os.path.basename, shown), paths, strict=True))

        def taken(stem, name):
            return self._results.owner(os.path.join(parent, stem)) not in (None, of_name[name])

        stems = stems_of_folder(list(of_name), taken)
        for path, name, stem in zip(paths, shown, stems, strict=True):
            entry = self._results.find(path)
            stem = os.path.join(parent, stem) if entry is None else entry.stem
            before = None if entry is None else tuple(face.index for face in entry.faces)
            photo = JobPhoto(path, stem, printable(name), _stamp(path), before)
            yield photo, entry if self._is_done(photo, entry) else None

    def _is_done(self, photo: JobPhoto, entry: PhotoEntry | None) -> bool:
        if entry is None or self._redo or entry.retry or (entry.stamp, entry.settings) != (photo.stamp, self._settings):
            return False
        return all(
            path.is_file()
            for face in entry.faces
            for path in files_of_face(self._folder, entry.stem, face.index, endings=self._endings)
        )


def _foreign_photos(place: str | os.PathLike, output: Path) -> Iterator[list[Path]]:
    """The photos of each folder, without the pictures that an earlier run has left in the output folder."""
    output = output.resolve()
    for photos in photos_by_folder(place):
        if photos[0].parent.resolve().is_relative_to(output):
            photos = [photo for photo in photos if not _is_own_picture(photo)]
        if photos:
            yield photos


def _is_own_picture(photo: Path) -> bool:
    """Whether a picture in the output folder is a result: it is named like one, and has other results beside it."""
    match = _OWN_PICTURE.search(photo.name)
    if match is None or match.end() != len(photo.name):
        return False
    if match[1] is None:  # of the pages
        return True
    base = photo.name.removesuffix(match[1])
    return any(photo.with_name(base + ending).is_file() for ending in set(ALL_ENDINGS) - set(_PICTURE_ENDINGS))


def _root(place: str | os.PathLike) -> str:
    """The folder that the results' subfolders are relative to: of a pattern the part before its first wildcard."""
    path = Path(place)
    if path.is_file():
        path = path.parent
    while not path.is_dir():
        path = path.parent
    return os.path.abspath(path)


def _relative(path: str, root: str) -> str:
    relative = os.path.relpath(path, root)
    return os.path.basename(path) if relative.startswith(os.pardir) else relative


def _stamp(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _remove_left_overs(folder: Path) -> None:
    """Removes files that a process was writing when it was killed."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as files:
        partials = [file.path for file in files if _PARTIAL.search(file.name)]
    for partial in partials:
        with contextlib.suppress(OSError):
            os.unlink(partial)
