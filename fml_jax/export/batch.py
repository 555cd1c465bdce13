"""Reconstructs many photos into one folder: many processes, little memory, and continued after an interruption.

Photos are cut into jobs of equal numbers, in order. A job's results depend on its photos alone, so the files are the
same byte for byte whatever the runner and the number of workers. The launching process keeps an entry for each photo
(`result_folder`); what has one is not done again. A job that was cut off is done again as a whole.
"""

import contextlib
import functools
import hashlib
import itertools
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import threadpoolctl

from fml_jax.errors import InputError, printable
from fml_jax.export.formats import (
    ALL_ENDINGS,
    DEFAULT,
    TEXTURES,
    checked_formats,
    checked_texture,
    endings_of,
    prepare,
)
from fml_jax.export.names import stems_of_folder
from fml_jax.export.page import CAPTIONS, PICTURES, painted_for_page, picture_paths, write_pictures
from fml_jax.export.result_folder import FaceEntry, PhotoEntry, ResultFolder
from fml_jax.export.saving import save_reconstruction
from fml_jax.export.viewer.folder import SCRIPTS, script_path, write_face
from fml_jax.files import PARTIAL_SUFFIX, DiskFullError
from fml_jax.photos.detection import AUTO, detector_name
from fml_jax.photos.reading import photos_by_folder
from fml_jax.reconstruction import Reconstructor
from fml_jax.reconstruction.pictures import Pictures
from fml_jax.reconstruction.prediction import OPEN_WEIGHTS
from fml_jax.runners import Note, Runner, run_in_processes

PHOTOS_PER_JOB = 16  # larger ones leave a worker idle at the end for longer
PHOTOS_PER_REFINING_JOB = 8  # refinement takes seconds a face, and a job that is cut off begins anew
JOBS_PER_WORKER = 2  # with fewer jobs, starting another process takes longer than it saves

_PICTURE_ENDINGS = tuple(ending for ending in ALL_ENDINGS if ending.endswith(".png"))
_OWN_PICTURE = re.compile(rf"_\d+(?:({'|'.join(map(re.escape, _PICTURE_ENDINGS))})|\.({'|'.join(CAPTIONS)})\.jpg)")
_PARTIAL = re.compile(rf"\.\d+-\d+{re.escape(PARTIAL_SUFFIX)}$")

Boxes = Sequence[tuple[float, float, float, float]]


@dataclass(frozen=True)
class Settings:
    """The settings of a reconstruction."""

    reconstructor: tuple[tuple[str, Any], ...] = ()  # (name, value) of arguments of `Reconstructor`
    refine: bool = False
    boxes: tuple[tuple[float, ...], ...] | None = None  # of a single photo, instead of detection
    formats: tuple[str, ...] = DEFAULT  # of `fml_jax.export.formats.FORMATS`; photos whose files lack one are redone
    texture: str = TEXTURES[0]  # of `fml_jax.export.formats.TEXTURES`
    same_person: bool = False  # all photos show one person; they are one job

    def __post_init__(self) -> None:
        object.__setattr__(self, "formats", checked_formats(self.formats))
        checked_texture(self.texture)

    def fingerprint(self) -> str:
        """Text that differs where results may differ; weights count by their content."""
        arguments = dict(self.reconstructor)
        weights = Path(arguments.pop("weights", None) or OPEN_WEIGHTS)
        arguments["detector"] = detector_name(arguments.get("detector", AUTO))
        digest = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else str(weights)
        if "face_model" in arguments:
            model = Path(arguments.pop("face_model"))
            digest += hashlib.sha256(model.read_bytes()).hexdigest() if model.is_file() else str(model)
        given = [digest, sorted(arguments.items()), self.refine, self.boxes]
        given += [self.texture] * (self.texture != TEXTURES[0]) + ["same person"] * self.same_person
        return json.dumps(given)

    @property
    def photos_per_job(self) -> int:
        """How many photos are worked on together."""
        if self.same_person:
            return sys.maxsize
        return PHOTOS_PER_REFINING_JOB if self.refine else PHOTOS_PER_JOB


class JobPhoto(NamedTuple):
    """A photo to be reconstructed."""

    path: str  # absolute
    stem: str  # first part of its results' names, relative to the folder
    shown: str  # its path relative to the input
    stamp: str
    faces_before: tuple[int, ...] | None  # of an earlier run, whose files are replaced; None if there was none


class JobResult(NamedTuple):
    """The outcome of a job's photos; if the job was stopped, of those that were done."""

    entries: list[PhotoEntry]
    disk_full: str | None = None  # the reason why it was stopped
    interrupted: bool = False  # by Ctrl-C


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
    settings: Settings = Settings(),
    *,
    workers: int = 1,
    runner: Runner = run_in_processes,
    redo: bool = False,
    load: Callable[..., Any] = Reconstructor,
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
      load: makes the reconstructor from its arguments, once in each process; picklable.
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
                for file in _files(folder, entry.stem, face.index):
                    file.unlink(missing_ok=True)
            results.forget(path)


def default_workers(photos: int, refine: bool) -> int:
    """One for each core, or less for so few photos that processes would cost more time than they save."""
    size = PHOTOS_PER_REFINING_JOB if refine else PHOTOS_PER_JOB
    return max(1, min(os.cpu_count() or 1, photos // (size * JOBS_PER_WORKER)))


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
            for path in _files(self._folder, entry.stem, face.index, self._endings)
        )


class ReconstructTask:
    """Reconstructs the photos of a job and saves their faces; see `fml_jax.runners.Task`."""

    def __init__(
        self, folder: Path, settings: Settings, load: Callable[..., Any] = Reconstructor, *, alone: bool
    ) -> None:
        """`alone`: no other process works beside this one."""
        self._folder, self._settings, self._load, self._alone = folder.absolute(), settings, load, alone
        self._fingerprint = settings.fingerprint()

    def start(self) -> None:
        """Loads the network, once in a process."""
        if not self._alone:
            _share_the_machine()
        reconstructor = _loaded(self._load, self._settings.reconstructor)
        if self._alone and isinstance(reconstructor, Reconstructor):
            # Another core is free while the network is compiled for the first photo.
            threading.Thread(target=prepare, args=(reconstructor.model, self._settings.formats)).start()

    def __call__(self, job: list[JobPhoto], note: Note) -> JobResult:
        """Saves the faces of a job's photos; those of a photo are complete or absent.

        NumPy's matrix products have one thread meanwhile. With more, a photo took 1.6 times as much processor time
        beside other work, and sums depend on the number of threads.
        """
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            return self._saved(job, note)

    def _saved(self, job: list[JobPhoto], note: Note) -> JobResult:
        boxes = None if self._settings.boxes is None else [list(self._settings.boxes)] * len(job)
        reconstructor = _loaded(self._load, self._settings.reconstructor)
        work = _JobWork(self._folder, job, self._fingerprint, self._settings, note=note)
        try:
            together = {"same_person": True} if self._settings.same_person else {}
            stream = reconstructor.stream(
                [photo.path for photo in job], boxes, refine=self._settings.refine, **together
            )
            with contextlib.closing(stream):
                for face in stream:
                    work.add(face)
                work.finish(stream.failures, stream.dropped)
        except DiskFullError as error:
            work.give_up()
            return JobResult(work.entries, disk_full=str(error))
        except KeyboardInterrupt:
            work.give_up()
            return JobResult(work.entries, interrupted=True)
        except InputError:
            raise
        except Exception as error:  # an unexpected error at one photo must not end the run
            work.give_up()
            left = work.left()
            if len(left) > 1:
                return self._one_by_one(work.entries, left, note)
            work.fail(f"{left[0].path}: cannot be reconstructed ({type(error).__name__}: {error})")
        return JobResult(work.entries)

    def _one_by_one(self, entries: list[PhotoEntry], photos: list[JobPhoto], note: Note) -> JobResult:
        """The photos that are left of a job in which one has failed unexpectedly."""
        for photo in photos:
            result = self._saved([photo], note)
            entries = entries + result.entries
            if result.disk_full or result.interrupted:
                return result._replace(entries=entries)
        return JobResult(entries)


class _JobWork:
    """Saves faces as they come, photo by photo, and collects the photos' entries."""

    def __init__(self, folder: Path, job: list[JobPhoto], fingerprint: str, settings: Settings, *, note: Note) -> None:
        self.entries: list[PhotoEntry] = []
        self._folder, self._settings, self._note = folder, fingerprint, note
        self._files: dict[str, Any] = {"formats": settings.formats, "texture": settings.texture}
        self._waiting = {photo.path: photo for photo in job}
        self._photo: JobPhoto | None = None  # whose faces are coming
        self._faces: list[FaceEntry] = []
        self._failure: str | None = None  # why its faces cannot be saved

    def add(self, face: Any) -> None:
        """Saves a face."""
        photo = self._waiting[face.source]
        if self._photo is not photo:
            self._finish_photo()
            self._photo = photo
        if self._failure is not None:
            return
        try:
            again = photo.faces_before is not None
            pictures = Pictures(face)
            painted_for_page(pictures)  # together with the overlay, which often has their size
            save_reconstruction(face, self._folder, photo.stem, overwrite=again, pictures=pictures, **self._files)
            self._faces.append(FaceEntry(face.index, face.score, *face.angles))
            write_pictures(face, self._folder, photo.stem, pictures=pictures)
            write_face(face, self._folder, photo.stem)
        except DiskFullError:
            raise
        except InputError as error:
            self._failure = str(error)
            self._remove(photo.stem, len(self._faces))
            self._faces = []

    def finish(self, failures: Iterable[tuple[str, str]], dropped: Iterable[Any]) -> None:
        """Adds the entries of the last photo and of those without a face."""
        self._finish_photo()
        reasons = {source: reason for source, reason in failures}
        for photo in self.left():
            self._store(photo, failure=reasons.get(photo.path, f"{photo.path}: no face found"))
        lines: dict[str, list[str]] = {}
        for box in dropped:
            lines.setdefault(box.source, []).append(box.reason)
        self.entries = [
            entry._replace(dropped=tuple(_in_words(line, entry.path, entry.shown) for line in lines[entry.path]))
            if entry.path in lines and entry.failure is None
            else entry
            for entry in self.entries
        ]

    def give_up(self) -> None:
        """Removes the files of the photo whose faces are coming."""
        if self._photo is not None:
            self._remove(self._photo.stem, len(self._faces) + 1)
        self._photo, self._faces, self._failure = None, [], None

    def left(self) -> list[JobPhoto]:
        """The photos without an entry."""
        return list(self._waiting.values())

    def fail(self, reason: str) -> None:
        """Adds the entries of all photos that are left, for a reason that may not occur in another run."""
        for photo in self.left():
            self._store(photo, failure=reason, retry=True)

    def _finish_photo(self) -> None:
        if self._photo is not None:
            self._store(self._photo, failure=self._failure, retry=self._failure is not None)
        self._photo, self._faces, self._failure = None, [], None

    def _store(self, photo: JobPhoto, *, failure: str | None, retry: bool = False) -> None:
        del self._waiting[photo.path]
        faces = tuple(self._faces) if failure is None else ()
        for index in set(photo.faces_before or ()) - {face.index for face in faces}:
            for path in _files(self._folder, photo.stem, index):
                path.unlink(missing_ok=True)
        self.entries.append(
            PhotoEntry(
                photo.path,
                photo.stem,
                photo.shown,
                photo.stamp,
                self._settings,
                faces=faces,
                dropped=(),
                failure=None if failure is None else _in_words(failure, photo.path, photo.shown),
                retry=retry,
            )
        )
        self._note(failure is not None)

    def _remove(self, stem: str, faces: int) -> None:
        """Removes the files of a photo's first faces."""
        for index in range(faces):
            for path in _files(self._folder, stem, index):
                with contextlib.suppress(OSError):
                    path.unlink()


def _in_words(reason: str, path: str, shown: str) -> str:
    """A reason in one line that names the photo as the page does."""
    return " ".join(reason.replace(printable(path), shown).splitlines())


def _share_the_machine() -> None:
    """Keeps this process to one core, and a GPU's memory open to the others."""
    cv2.setNumThreads(1)
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


@functools.lru_cache(maxsize=1)
def _loaded(load: Callable[..., Any], arguments: tuple[tuple[str, Any], ...]) -> Any:
    return load(**dict(arguments))


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


def _files(folder: Path, stem: str, index: int, endings: tuple[str, ...] = ALL_ENDINGS) -> list[Path]:
    """The files of a face with some endings, and its pictures."""
    results = [folder / f"{stem}_{index}{ending}" for ending in endings]
    return [*results, *picture_paths(folder, stem, index).values(), script_path(folder, stem, index)]


def _remove_left_overs(folder: Path) -> None:
    """Removes files that a process was writing when it was killed."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as files:
        partials = [file.path for file in files if _PARTIAL.search(file.name)]
    for partial in partials:
        with contextlib.suppress(OSError):
            os.unlink(partial)
