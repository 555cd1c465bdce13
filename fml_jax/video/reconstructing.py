"""A clip → the faces of its people over time."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from fml_jax.codes import FaceCode
from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel
from fml_jax.fitting.colours import ColourSolver
from fml_jax.image_formation.landmark_projection import project_landmarks
from fml_jax.ops.images import unit_range
from fml_jax.photos.crops import CROP_SIZE, compose_affines, crop_photo, invert_affine, square_crop
from fml_jax.photos.detection import detect_faces
from fml_jax.reconstruction import Reconstructor
from fml_jax.reconstruction.evidence import Measurement
from fml_jax.reconstruction.person import NetworkParts, measured
from fml_jax.reconstruction.reconstruction import in_photo
from fml_jax.video.clip_face import ClipFace, PersonDelta
from fml_jax.video.clips import Clip, Frame
from fml_jax.video.motion import BATCH, Seen, fit_frames, smooth_motion, solve_lights
from fml_jax.video.people import TrackedPerson, best_views, people_of
from fml_jax.video.smoothing import SECONDS
from fml_jax.video.tracking import CHUNK, Sighting, Tracker, square_of

LOOK_EVERY = 1.0  # seconds after which new faces are looked for although none is lost


@dataclass(frozen=True)
class ClipFaces:
    """The result of a clip."""

    clip: Clip
    people: list[ClipFace]  # those who are seen longest first
    frame_count: int  # frames that were looked at
    looks: int  # frames that were searched all over
    interrupted: bool  # by Ctrl-C: frames are left


def reconstruct_clip(
    reconstructor: Reconstructor, path: str | Path, *, smoothing: float = SECONDS, progress: bool = False
) -> ClipFaces:
    """Follows the faces of a clip; Ctrl-C ends it with the frames that were seen until then.

    Args:
      smoothing: seconds over which the motion is smoothed, see `smoothing.smoothed`; 0 leaves it as it is measured.
      progress: show bars.

    Raises:
      InputError: the clip cannot be read, or shows no face.
    """
    clip = Clip(path)
    tracker = Tracker(
        functools.partial(_measure, reconstructor.parts()),
        functools.partial(detect_faces, detector=reconstructor.detector),
        look_every=max(1, round(LOOK_EVERY * float(clip.rate))),
        least_score=reconstructor.min_score,
    )
    times: list[float] = []
    interrupted = False
    try:
        for chunk in _in_parts(_shown(clip.frames(), clip.expected, "tracking", progress), CHUNK):
            tracker.follow(chunk[0].number, [frame.rgb for frame in chunk])
            times += [float(frame.time) for frame in chunk]
    except KeyboardInterrupt:
        interrupted = True
    found = people_of(reconstructor.parts(), tracker.tracks)
    if not found:
        raise InputError(f"{path}: no face found in {len(times)} frames; a face must be at least 20 pixels large")
    people = [_in_one_camera(reconstructor, person) for person in found]
    try:
        _light(reconstructor, people, _shown(clip.frames(len(times)), len(times), "light", progress))
    except KeyboardInterrupt:
        interrupted = True
    spread = smoothing * float(clip.rate)
    faces = [
        _clip_face(reconstructor, clip, person, index=index, spread=spread, times=np.array(times))
        for index, person in enumerate(people)
    ]
    return ClipFaces(clip, faces, len(times), tracker.looks, interrupted)


@dataclass(eq=False)
class _Motion:
    """A person's sightings and their codes in one camera."""

    sightings: list[Sighting]
    camera: np.ndarray  # [2, 3] affine from the frames to the crop of the camera
    codes: FaceCode  # leading axes T
    delta: PersonDelta | None  # where the final level is shown
    model: BaseModel  # with their corrections


def _shown(frames: Iterable[Frame], count: int | None, what: str, progress: bool) -> Iterator[Frame]:
    """Frames under a bar with their number a second."""
    yield from tqdm(frames, total=count, unit="frame", desc=what, disable=not progress, dynamic_ncols=True)


def _in_parts(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    frames = iter(frames)
    while part := list(itertools.islice(frames, size)):
        yield part


def _measure(parts: NetworkParts, crops: np.ndarray) -> Measurement:
    """`measured` of up to CHUNK crops, compiled for CHUNK."""
    return jax.tree.map(lambda part: part[: len(crops)], measured(parts, _filled(crops, CHUNK)))


def _filled(rows: np.ndarray, size: int) -> np.ndarray:
    return rows[np.minimum(np.arange(size), len(rows) - 1)]


def _in_one_camera(reconstructor: Reconstructor, person: TrackedPerson) -> _Motion:
    sightings = person.sightings
    camera = _middle_crop([each.crop_from_photo for each in sightings])
    stacked = jax.tree.map(lambda *rows: np.stack(rows), *(each.measured for each in sightings))
    affines = [compose_affines(camera, invert_affine(each.crop_from_photo)) for each in sightings]
    seen = Seen(stacked.codes, stacked.evidence, np.stack(affines).astype(np.float32))
    codes = _batched(lambda part: fit_frames(reconstructor.parts().basis, person.code, part), seen)
    delta, model = _delta(reconstructor, person), reconstructor.model
    return _Motion(sightings, camera, codes, delta, model if delta is None else delta.corrected(model))


def _delta(reconstructor: Reconstructor, person: TrackedPerson) -> PersonDelta | None:
    """The person's δ_g and δ_r: the mean of the best views', weighted by their certainty; None without a final level.

    One view after the other, since a batch would be another program to compile.
    """
    uncertainties, crops = best_views(person.tracks)
    found = [reconstructor.predict(crop[None]).final_codes for crop in crops]
    final = reconstructor.network.final
    if final is None or any(each is None for each in found):
        return None
    weights = uncertainties**-2.0 / np.sum(uncertainties**-2.0)
    geometry, reflectance = (
        sum(weight * getattr(each, name)[0] for weight, each in zip(weights, found, strict=True))
        for name in ("geometry", "reflectance")
    )
    return PersonDelta(geometry.astype(np.float32), reflectance.astype(np.float32), final)


def _middle_crop(crops: Sequence[np.ndarray]) -> Float[np.ndarray, "2 3"]:
    """The upright crop in the middle of some crops, of their middle size."""
    squares = [square_of(crop) for crop in crops]
    centre = np.median([centre for centre, _ in squares], axis=0)
    return square_crop(centre, float(np.median([side for _, side in squares])), 0.0, size=CROP_SIZE)


def _batched(function: Callable[[Any], Any], rows: Any) -> Any:
    """A function of BATCH rows, applied to T rows; NumPy arrays."""
    count, answers = len(jax.tree.leaves(rows)[0]), []
    for start in range(0, count, BATCH):
        part = jax.tree.map(lambda leaf, start=start: _filled(leaf[start : start + BATCH], BATCH), rows)
        answers.append(jax.tree.map(np.asarray, function(part)))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *answers)


def _light(reconstructor: Reconstructor, people: Sequence[_Motion], frames: Iterable[Frame]) -> None:
    """Solves the light of all sightings on their frames; without a colour solver it stays the network's."""
    parts = reconstructor.parts()
    if parts.solver is None:
        return
    solvers = [parts.solver._replace(mean=person.model.reflectance_mean[parts.solver.rows]) for person in people]
    at = {(p, each.frame): k for p, person in enumerate(people) for k, each in enumerate(person.sightings)}
    for chunk in _in_parts(frames, BATCH):
        for p, person in enumerate(people):
            places = [at[p, frame.number] for frame in chunk if (p, frame.number) in at]
            if not places:
                continue
            own = [person.sightings[k].crop_from_photo for k in places]
            pictures = [frame.rgb for frame in chunk if (p, frame.number) in at]
            crops = np.stack([crop_photo(rgb, crop) for rgb, crop in zip(pictures, own, strict=True)])
            affines = np.stack([compose_affines(crop, invert_affine(person.camera)) for crop in own])
            codes = jax.tree.map(lambda leaf, places=places: leaf[places], person.codes)
            rows = (codes, crops, affines.astype(np.float32))
            lights = _batched(functools.partial(_solved_lights, person.model, solvers[p]), rows)
            person.codes.illumination[places] = lights


def _solved_lights(model: BaseModel, solver: ColourSolver, rows: tuple[FaceCode, np.ndarray, np.ndarray]) -> Any:
    codes, crops, affines = rows
    return solve_lights(model, solver, codes, crops=unit_range(crops), crop_from_camera=affines)


def _clip_face(
    reconstructor: Reconstructor, clip: Clip, person: _Motion, *, index: int, spread: float, times: np.ndarray
) -> ClipFace:
    frames = np.array([each.frame for each in person.sightings])
    uncertainty = np.stack([each.measured.uncertainty for each in person.sightings])
    weights = 1 / uncertainty.mean(axis=1) ** 2
    runs = np.split(np.arange(len(frames)), np.flatnonzero(np.diff(frames) > 1) + 1)
    smooth = [
        smooth_motion(jax.tree.map(lambda leaf, run=run: leaf[run], person.codes), spread, weights[run]) for run in runs
    ]
    codes = jax.tree.map(lambda *parts: np.concatenate(parts), *smooth)
    model = reconstructor.model
    pixels = _batched(lambda part: _landmarks(person.model, part), codes)
    scale = np.array([np.hypot(*each.crop_from_photo[:, 0]) for each in person.sightings])
    return ClipFace(
        source=str(clip.path),
        name=clip.path.stem,
        index=index,
        rate=float(clip.rate),
        frames=frames,
        times=times[frames],
        code=codes,
        crop_from_photo=person.camera,
        landmarks68=in_photo(person.camera, pixels),
        landmark_uncertainty=uncertainty / scale[:, None],
        scores=np.array([float(each.measured.scores) for each in person.sightings]),
        model=model,
        model_version=reconstructor.network.version,
        triangles=np.asarray(model.topology.triangles),
        delta=person.delta,
    )


@jax.jit
def _landmarks(model: BaseModel, codes: FaceCode) -> Float[jax.Array, "T 68 2"]:
    return jax.vmap(lambda code: project_landmarks(model, code))(codes)
