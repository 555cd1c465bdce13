"""Measures refinement: faces one by one, in a batch (`jax.vmap`), and in two threads, with the same result.

    python -m benchmarks.refinement [--photos=LFW] [--count=8]

Prints faces a second by the clock and by the processors' time, which other work on the machine changes less, and the
largest differences of the results from those one by one. Without --photos one photo is refined again and again.
"""

import concurrent.futures
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from skimage import data

from fml_jax.codes import FaceCode
from fml_jax.evaluation.tables import markdown
from fml_jax.face_model.base import BaseModel
from fml_jax.fitting.colours import fit_colours
from fml_jax.fitting.energy import fit_energy
from fml_jax.fitting.landmarks import fit_landmarks
from fml_jax.losses import Observation
from fml_jax.photos.reading import list_photos
from fml_jax.reconstruction import Reconstruction, Reconstructor
from fml_jax.reconstruction.levels import learned_corrections, with_refitted_base
from fml_jax.reconstruction.refinement import fitting_model, landmark_model, observation_of, refine, with_corrections

_PHOTOS = flags.DEFINE_string("photos", None, "Folder of photos; the first faces are refined.")
_COUNT = flags.DEFINE_integer("count", 8, "Faces.", lower_bound=2)
_REPEATS = flags.DEFINE_integer("repeats", 2, "Rounds, after one that compiles.", lower_bound=1)


def main(_):
    faces = chosen_faces()
    runs = {"one by one": one_by_one, "a batch": in_a_batch, "two threads": in_threads}
    found = {name: run(faces) for name, run in runs.items()}
    rows = []
    for name, run in runs.items():
        clock, processors = zip(*(timed(run, faces) for _ in range(_REPEATS.value)), strict=True)
        pairs = list(zip(found[name], found["one by one"], strict=True))
        shape = max(np.linalg.norm(a.vertices - b.vertices, axis=1).max() for a, b in pairs)
        skin = max(np.abs(a.reflectance - b.reflectance).max() for a, b in pairs)
        seconds = [np.median(each) / len(faces) for each in (clock, processors)]
        rows.append((name, *(f"{1 / each:.2f}" for each in seconds), f"{shape:.4f}", f"{skin:.5f}"))
    print(markdown(["refinement", "faces a second", "faces a processor second", "mm", "RGB"], rows))


def chosen_faces() -> list[Reconstruction]:
    """The faces that are refined."""
    reconstructor = Reconstructor.default()
    if _PHOTOS.value is None:
        return list(reconstructor(data.astronaut())) * _COUNT.value
    faces = [face for face in reconstructor(list_photos(_PHOTOS.value)[: _COUNT.value]) if face.index == 0]
    if not faces:
        raise app.UsageError(f"--photos={_PHOTOS.value}: no face in the first photos; give a folder of portraits")
    return faces


def timed(run: Callable, faces: list[Reconstruction]) -> tuple[float, float]:
    """Seconds of the clock and of the processors."""
    clock, processors = time.perf_counter(), time.process_time()
    run(faces)
    return time.perf_counter() - clock, time.process_time() - processors


def one_by_one(faces: list[Reconstruction]) -> list[Reconstruction]:
    """As the package does."""
    return [refine(face) for face in faces]


def in_threads(faces: list[Reconstruction]) -> list[Reconstruction]:
    """Two faces at a time."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(refine, faces))


def in_a_batch(faces: list[Reconstruction]) -> list[Reconstruction]:
    """All codes in one program; decoding and corrections face by face."""
    learned = [learned_corrections(face) for face in faces]
    model = faces[0].model
    models = [(landmark_model(model, each), fitting_model(model, each)) for each in learned]
    points, whole = models[0]
    means = [(points.mean, whole.mean, whole.reflectance_mean) for points, whole in models]
    batch = [(face.code, observation_of(face), mean) for face, mean in zip(faces, means, strict=True)]
    codes = jax.device_get(_fitted(points, whole, *jax.tree.map(lambda *parts: jnp.stack(parts), *batch)))
    each = (jax.tree.map(lambda part, k=k: part[k], codes) for k in range(len(faces)))
    return [
        with_corrections(with_refitted_base(face, code, corrections))
        for face, code, corrections in zip(faces, each, learned, strict=True)
    ]


@jax.jit
def _fitted(points: BaseModel, whole: BaseModel, codes: FaceCode, observations: Observation, means: tuple) -> FaceCode:
    def one(start, seen, mean):
        of_points, of_whole, skin = mean
        marks, model = points.replace(mean=of_points), whole.replace(mean=of_whole, reflectance_mean=skin)
        code = fit_landmarks(marks, start, seen.landmarks, confidence=seen.confidence, person=start.identity)
        code = fit_colours(model, code, seen.image, mask=seen.mask)
        return fit_energy(model, code, seen, start=start)

    return jax.vmap(one)(codes, observations, means)


if __name__ == "__main__":
    app.run(main)
