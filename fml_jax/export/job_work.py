"""What a process of a batch does with its photos: it saves their faces, and notes what became of each."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fml_jax.errors import InputError, printable
from fml_jax.export.jobs import JobPhoto, Settings, files_of_face
from fml_jax.export.page_pictures import painted_for_page, write_pictures
from fml_jax.export.result_folder import FaceEntry, PhotoEntry
from fml_jax.export.saving import save_reconstruction
from fml_jax.export.viewer.face_file import write_face
from fml_jax.files import DiskFullError, all_together
from fml_jax.reconstruction.pictures import Pictures
from fml_jax.runners import Note


class JobWork:
    """Saves faces as they come, photo by photo, and collects the photos' entries."""

    def __init__(self, folder: Path, job: list[JobPhoto], *, fingerprint: str, settings: Settings, note: Note) -> None:
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
            with all_together():
                save_reconstruction(face, self._folder, photo.stem, overwrite=again, pictures=pictures, **self._files)
                write_pictures(face, self._folder, photo.stem, pictures=pictures)
                write_face(face, self._folder, photo.stem)
            self._faces.append(FaceEntry(face.index, face.score, *face.angles))
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
            for path in files_of_face(self._folder, photo.stem, index):
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
            for path in files_of_face(self._folder, stem, index):
                with contextlib.suppress(OSError):
                    path.unlink()


def _in_words(reason: str, path: str, shown: str) -> str:
    """A reason in one line that names the photo as the page does."""
    return " ".join(reason.replace(printable(path), shown).splitlines())
