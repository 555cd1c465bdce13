"""A batch with a reconstructor that predicts nothing, as a program that a test can kill.

python -m tests.export.stub_batch PHOTOS OUTPUT WORKERS SECONDS
"""

import contextlib
import dataclasses
import functools
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np

from fml_jax.export import job_work, page
from fml_jax.export.batch import reconstruct_photos
from fml_jax.export.jobs import Settings
from fml_jax.export.result_folder import ResultFolder
from fml_jax.export.viewer.folder import script_path
from fml_jax.export.viewer.page import face_script, model_script
from fml_jax.files import complete_or_absent
from fml_jax.reconstruction import Reconstruction
from fml_jax.reconstruction.pictures import Pictures
from fml_jax.runners import run_in_processes
from tests.tiny_face import make_tiny_model, random_code


class Dropped(NamedTuple):
    source: str
    reason: str


class SmallPictures(Pictures):
    """They cost no time."""

    def rendered(self, kinds, size=None):
        return {kind: np.full((4, 4, 3), 10 * place + self._face.index, np.uint8) for place, kind in enumerate(kinds)}


def small_script(face, folder, stem):
    """In place of `write_face`."""
    path = script_path(folder, stem, face.index)
    path.parent.mkdir(parents=True, exist_ok=True)
    with complete_or_absent(path) as partial:
        partial.write_text(face_script(stem, {"model": "tiny"}))
    (folder / "viewer" / "tiny.model.js").write_text(model_script("tiny", {}))


@functools.cache
def tiny_face(number):
    """A face of the tiny model; the number is in its reflectance."""
    model, rng = make_tiny_model(), np.random.default_rng(number)
    count = model.vertex_count
    fields = {
        "vertices": np.asarray(model.mean),
        "triangles": np.asarray(model.topology.triangles),
        "reflectance": np.full((count, 3), number / 100, np.float32),
        "code": random_code(model, rng),
        "landmarks68": rng.uniform(0, 40, (68, 2)),
        "projected": np.zeros((count, 2)),
        "box": np.array([4.0, 4.0, 36.0, 36.0]),
        "crop_from_photo": np.array([[6.0, 0.0, 0.0], [0.0, 6.0, 0.0]]),
        "score": 0.9,
        "reflectance_corrections": np.zeros((count, 3), np.float32),
        "model_version": "tiny",
        "source": "",
        "name": "",
        "index": 0,
        "photo": np.full((40, 40, 3), 100, np.uint8),
        "model": model,
        "landmark_uncertainty": None,
        "final_code": None,
        "unoccluded": None,
    }
    return Reconstruction(**{field.name: fields[field.name] for field in dataclasses.fields(Reconstruction)})


class StubStream:
    """Two faces of each photo whose number leaves 1 when it is divided by 5, none where it leaves 3, else one."""

    def __init__(self, paths, seconds, odd):
        self.failures, self.dropped, self._odd = [], [], odd
        self._faces = self._work(paths, seconds)

    def __iter__(self):
        return self._faces

    def close(self):
        self._faces.close()

    def _work(self, paths, seconds):
        for path in paths:
            time.sleep(seconds)
            number = int(re.search(r"(\d+)\.\w+$", path)[1])
            if number == self._odd:
                raise ZeroDivisionError("an odd photo")
            if number % 5 == 3:
                self.failures.append((path, f"{path}: no face found"))
            if number % 5 == 2:
                self.dropped.append(Dropped(path, f"{path}: a box scores too low"))
            for index in range({1: 2, 3: 0}.get(number % 5, 1)):
                yield dataclasses.replace(tiny_face(number % 10), source=path, index=index)


class StubReconstructor:
    """`odd` is the number of a photo that fails unexpectedly."""

    def __init__(self, seconds=0.0, odd=None, in_worker=False):
        self._seconds, self._odd = seconds, odd
        if in_worker:
            job_work.Pictures, job_work.write_face = SmallPictures, small_script

    def stream(self, photos, boxes=None, *, refine=False):
        return StubStream(photos, self._seconds, self._odd)


FORMATS = ("npz", "ply", "camera", "overlay")


def run(photos, output, workers=1, seconds=0.0, runner=run_in_processes, **keywords):
    """`reconstruct_photos` with the stub, and the pages."""
    output.mkdir(parents=True, exist_ok=True)
    in_worker = workers > 1 or runner is not run_in_processes
    keywords.setdefault("load", functools.partial(StubReconstructor, seconds, keywords.pop("odd", None), in_worker))
    keywords.setdefault("settings", Settings(formats=FORMATS))
    with ResultFolder(output) as results, contextlib.ExitStack() as patches:
        patches.enter_context(mock.patch.object(job_work, "Pictures", SmallPictures))
        patches.enter_context(mock.patch.object(job_work, "write_face", small_script))
        outcome = reconstruct_photos(photos, results, workers=workers, runner=runner, **keywords)
        page.write_pages(results, stopped=outcome.stopped)
    return outcome


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
