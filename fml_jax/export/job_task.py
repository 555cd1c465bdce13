"""The task of a batch's processes; JAX is imported where it is started, and not where it is made and pickled."""

import contextlib
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import threadpoolctl

from fml_jax.errors import InputError
from fml_jax.export.jobs import JobPhoto, JobResult, Settings
from fml_jax.export.result_folder import PhotoEntry
from fml_jax.files import DiskFullError
from fml_jax.runners import Note


class ReconstructTask:
    """Reconstructs the photos of a job and saves their faces; see `fml_jax.runners.Task`."""

    def __init__(
        self, folder: Path, settings: Settings, load: Callable[..., Any] | None = None, *, alone: bool
    ) -> None:
        """`alone`: no other process works beside this one."""
        self._folder, self._settings, self._load, self._alone = folder.absolute(), settings, load, alone
        self._fingerprint = settings.fingerprint()

    def start(self) -> None:
        """Loads the network, once in a process; with one thread for matrix products, as in `__call__`."""
        import fml_jax.export.job_work  # noqa: F401 (with all libraries of matrix products, whose threads jobs limit)
        from fml_jax.export.writers import prepare
        from fml_jax.face_model import load_face_model
        from fml_jax.reconstruction.kept_programs import beside_compilation

        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            if not self._alone:
                _share_the_machine()
            _loaded(self._load, self._settings.reconstructor)
            if self._load is None:
                model = load_face_model(dict(self._settings.reconstructor).get("face_model"))
                beside_compilation(functools.partial(prepare, model, self._settings.formats))

    def __call__(self, job: list[JobPhoto], note: Note) -> JobResult:
        """Saves the faces of a job's photos; those of a photo are complete or absent.

        NumPy's matrix products have one thread meanwhile. With more, a photo took 1.6 times as much processor time
        beside other work, and sums depend on the number of threads.
        """
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            return self._saved(job, note)

    def _saved(self, job: list[JobPhoto], note: Note) -> JobResult:
        from fml_jax.export.job_work import JobWork

        boxes = None if self._settings.boxes is None else [list(self._settings.boxes)] * len(job)
        reconstructor = _loaded(self._load, self._settings.reconstructor)
        work = JobWork(self._folder, job, fingerprint=self._fingerprint, settings=self._settings, note=note)
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


def _share_the_machine() -> None:
    """Keeps this process to one core, and a GPU's memory open to the others."""
    cv2.setNumThreads(1)
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


@functools.lru_cache(maxsize=1)
def _loaded(load: Callable[..., Any] | None, arguments: tuple[tuple[str, Any], ...]) -> Any:
    from fml_jax.reconstruction import Reconstructor

    return (Reconstructor if load is None else load)(**dict(arguments))
