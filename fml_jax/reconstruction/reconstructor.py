"""Photos → reconstructions: detection, crops, the network in batches."""

import copy
import functools
import math
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8
from tqdm import tqdm

from fml_jax.codes import FaceCode
from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.files import load_face_model
from fml_jax.fitting.colours import ColourSolver
from fml_jax.image_formation.local_points import PointBasis
from fml_jax.photos.boxes import Detection
from fml_jax.photos.colour_balance import balanced, balancing_gains
from fml_jax.photos.crops import crop_from_photo, crop_photo
from fml_jax.photos.detection import AUTO, detect_faces, detector_name
from fml_jax.reconstruction import scores
from fml_jax.reconstruction.answers import DroppedFace, FaceStream, Failure, Reconstructions
from fml_jax.reconstruction.framing import corner_shift, framed_by
from fml_jax.reconstruction.kept_programs import KeptProgram
from fml_jax.reconstruction.person import NetworkParts, Person, join_photos
from fml_jax.reconstruction.prediction import Prediction, load_network, predict, predict_codes
from fml_jax.reconstruction.reconstruction import FINAL, LEVELS, Reconstruction, in_photo
from fml_jax.reconstruction.refinement import refine as refined
from fml_jax.reconstruction.sources import Box, Names, as_list, checked_boxes, read_source, source_of

BATCH = 32  # crops in one call of the network
SMALL_BATCH = 3  # the same for few crops: each takes a fifth longer, but few places of a batch stay empty
FEW = 24  # up to this many crops go through the network in small batches
SINGLY = 3  # up to this many crops are predicted one by one: their program is ready sooner than that of a batch

# Photos are held in memory while their faces are worked on: this many, or fewer if they are large.
PHOTOS_AT_ONCE = 64
PIXELS_AT_ONCE = 200_000_000  # 600 MB

# A face is cropped again, upright and by its predicted landmarks, where that moves a corner of the crop by more than
# this many pixels.
LOOK_AGAIN = 36.0

# Detected boxes whose crops score lower are dropped.
MIN_SCORE = 0.5


class Face(NamedTuple):
    """A box in a photo, to be predicted."""

    photo: UInt8[np.ndarray, "H W 3"]
    source: str  # the photo's path, or which one of the call it is
    name: str  # unique among the photos of the call
    number: int  # of the photo in the call
    box: Box
    roll: float = 0.0  # of the head in the photo, clockwise, as far as it is known: radians
    confidence: float = 0.0  # of a detector whose confidences `scores` knows; 0 of others


class Reconstructor:
    """The network and its face model, ready for photos.

        reconstructor = fml_jax.Reconstructor.default()
        for face in reconstructor("photo.jpg"):
            face.save("out")

    Nothing in it changes after construction: threads may share one.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        look_again: float = LOOK_AGAIN,
        solve_colours: bool = True,
        min_score: float = MIN_SCORE,
        detector: str = AUTO,
        level: str = FINAL,
        face_model: str | Path | None = None,
    ) -> None:
        """Loads weights and their face model.

        Args:
          weights: a weights file that training wrote; None is the network that the package carries.
          look_again: a face is cropped and predicted a second time, upright and framed by the landmarks of its first
            prediction, where that moves a corner by more than this many crop pixels: 0 is always, infinity never.
          solve_colours: light and reflectance are solved on the crop, given the network's geometry; else they are
            the network's own. The final level of the package's network was trained with solved ones.
          min_score: detected boxes that score lower are dropped; boxes given are kept.
          detector: a name of `fml_jax.photos.detection.DETECTORS`; "auto" is the best one that is installed.
          face_model: the file of the model that the weights were trained with; None is the open model.
          level: "final" is both levels where the network has them; "base" leaves the final level out.

        Raises:
          InputError: unreadable weights, weights of another face model or encoder, a limit that is no number, or an
            unknown detector or level.
        """
        if level not in LEVELS:
            raise InputError(f"level {level!r} is unknown; choose one of {', '.join(LEVELS)}")
        for name, value in (("look_again", look_again), ("min_score", min_score)):
            if not isinstance(value, int | float) or math.isnan(value):
                raise InputError(f"{name}={value!r} is no number; give one, such as {name}=0.5")
        self.model: BaseModel = load_face_model(face_model)
        self.network = load_network(weights, self.model)
        self.look_again, self.min_score, self.detector = look_again, min_score, detector_name(detector)
        self._solver = ColourSolver.of(self.model) if solve_colours else None
        self._basis = self.network.basis
        self._final = self.network.final if level == FINAL else None
        self._triangles = np.asarray(self.model.topology.triangles)

    @classmethod
    def default(cls) -> "Reconstructor":
        """The network that comes with the package."""
        return cls()

    def with_model(self, model: BaseModel) -> "Reconstructor":
        """The same network with a changed face model of the same sizes, such as one whose last modes are zero.

        Refinement is not changed: it reads the model's file.
        """
        other = copy.copy(self)
        other.model = model
        other._solver = self._solver and ColourSolver.of(model)
        other._basis = self._basis and PointBasis.of(model)
        return other

    def __call__(
        self, photos: Any, boxes: Any = None, *, refine: bool = False, progress: bool = False
    ) -> Reconstructions:
        """Reconstructs every face of one photo or of many.

        Args:
          photos: a path, an array (grey, RGB or RGBA; uint8, uint16 or floats in [0, 1]), or a list
            of these.
          boxes: instead of detection: for one photo a list of boxes (x0, y0, x1, y1), framed as
            face detectors do; for a list of photos, a list of such lists.
          refine: fit each face's code to its crop, then correct its reflectance (some seconds a face).
          progress: show a bar.

        Returns:
          One reconstruction a face, photos in order, a photo's faces largest first. In a list of photos, those that
          give no face are skipped: the returned list has them as `failures`, and boxes that scored too low as
          `dropped`. Each reconstruction keeps its photo; for more photos than fit into memory use `stream`.

        Raises:
          InputError: a single photo that cannot be read or shows no face, or boxes for another number of photos.
        """
        photos, single = as_list(photos)
        stream = self.stream(
            photos, [boxes] if single and boxes is not None else boxes, refine=refine, progress=progress
        )
        found = Reconstructions(stream, stream.failures, stream.dropped)
        if single and found.failures:
            raise InputError(found.failures[0].reason)
        return found

    def person(
        self, photos: Sequence[Any], boxes: Any = None, *, refine: bool = False, progress: bool = False
    ) -> Person:
        """Several photos of one person: one identity and reflectance, and pose, expression and light for each.

        Args:
          photos, boxes, progress: as of a call with a list.
          refine: fit all of it to all photos together (some seconds a photo).

        Returns:
          One reconstruction a photo that shows the person, and the others as `failures`. Of a photo with several faces,
          the one is taken whose identity is nearest to that of the photos with one (`person.join_photos`).

        Raises:
          InputError: no photo shows a face, or as `stream`.
        """
        stream = self.stream(photos, boxes, refine=refine, progress=progress, same_person=True)
        person = Person(stream, stream.failures, stream.dropped)
        if not person:
            reasons = [failure.reason for failure in person.failures]
            raise InputError(reasons[0] if reasons else "no photos are given; give at least one")
        return person

    def stream(
        self,
        photos: Sequence[Any],
        boxes: Any = None,
        *,
        refine: bool = False,
        progress: bool = False,
        same_person: bool = False,
    ) -> FaceStream:
        """As a call with a list, one reconstruction after the other, with few photos in memory at a time.

        Args:
          same_person: as `person`, which needs all photos in memory.

        Raises:
          InputError: no list of photos, or boxes for another number of photos.
        """
        if isinstance(photos, str | bytes | os.PathLike) or not hasattr(photos, "__len__"):
            raise InputError(
                f"stream takes a list of photos, not a {type(photos).__name__}; give [photo] for one photo"
            )
        if boxes is not None and (not isinstance(boxes, Sequence | np.ndarray) or len(boxes) != len(photos)):
            number = len(boxes) if isinstance(boxes, Sequence | np.ndarray) else 1
            raise InputError(f"boxes for {number} photos, but there are {len(photos)}; give one list of boxes a photo")
        work = self._work_on_person if same_person else self._work
        return FaceStream(functools.partial(work, photos=photos, boxes=boxes, refine=refine, progress=progress))

    def _work(self, stream: FaceStream, *, photos, boxes, refine, progress) -> Generator[Reconstruction, None, None]:
        with tqdm(total=len(photos), unit="photo", disable=not progress) as bar:
            for done, faces in _chunks(stream, self.detector, photos, boxes):
                for number, result in self._kept(stream, faces, boxes is not None):
                    bar.update(number - bar.n)
                    yield refined(result) if refine else result
                bar.update(done - bar.n)

    def _work_on_person(self, stream: FaceStream, *, refine, **keywords) -> Generator[Reconstruction, None, None]:
        yield from join_photos(self.parts(), self._work(stream, refine=False, **keywords), refine=refine)

    def reconstruct(self, faces: Sequence[Face]) -> Iterator[Reconstruction]:
        """Boxes in photos → reconstructions, whatever they score."""
        return (result for _, result in self._kept(FaceStream.empty(), faces, True))

    def predict(self, crops: UInt8[np.ndarray, "B 240 240 3"], *, together: int = 0) -> Prediction:
        """`fml_jax.predict` in batches, with colours solved if `solve_colours` is set; NumPy arrays.

        Crops under strongly coloured or very weak light are balanced first; the predicted light is that of the crop.

        Args:
          together: how many crops were predicted just before, if these are some of them.
        """
        gains = balancing_gains(crops)
        prediction = _in_batches(
            lambda part: _compiled(predict, len(part), self.network.encoder)(
                self.network.params,
                self.model,
                part,
                solver=self._solver,
                basis=self._basis,
                final=self._final,
            ),
            balanced(crops, gains),
            together,
        )
        return _under_the_crops_light(prediction, gains)

    def parts(self) -> NetworkParts:
        """What it predicts with, for functions of several crops."""
        return NetworkParts(self.network, self.model, self._basis or PointBasis.of(self.model), self._solver)

    def codes(self, crops: UInt8[np.ndarray, "B 240 240 3"]) -> tuple[FaceCode, Float[np.ndarray, "B"]]:
        """The network's own codes and scores, without faces; NumPy arrays."""
        gains = balancing_gains(crops)
        codes, network_scores = _in_batches(
            lambda part: _compiled(predict_codes, len(part), self.network.encoder)(
                self.network.params, self.model, part, basis=self._basis
            ),
            balanced(crops, gains),
        )
        return codes.replace(illumination=codes.illumination / gains[:, None]), network_scores

    def _kept(
        self, stream: FaceStream, faces: Sequence[Face], boxes_given: bool
    ) -> Iterator[tuple[int, Reconstruction]]:
        """Reconstructions with their photos' numbers; boxes that score too low are noted in the stream."""
        if not faces:
            return
        prediction, affines = self._predictions(faces)
        index: Counter[int] = Counter()
        dropped: dict[int, DroppedFace] = {}  # the best of each photo
        for k, face in enumerate(faces):
            score = float(prediction.scores[k])
            if boxes_given or score >= self.min_score:
                yield face.number, self._result(face, index[face.number], _row(prediction, k), affine=affines[k])
                index[face.number] += 1
                continue
            lost = DroppedFace(face.source, face.box, score, self.min_score)
            stream.dropped.append(lost)
            dropped[face.number] = max(lost, dropped.get(face.number, lost), key=lambda each: each.score)
        stream.failures += [Failure(lost.source, lost.reason) for n, lost in dropped.items() if not index[n]]

    def _predictions(self, faces: Sequence[Face]) -> tuple[Prediction, list[np.ndarray]]:
        """Predictions for boxes, and the crops' affines that they belong to."""
        affines = [crop_from_photo(face.box, face.roll) for face in faces]
        confidence = np.array([face.confidence for face in faces])
        first, affines = self._looks(faces, affines, confidence)
        return first._replace(scores=scores.with_detector(first.scores, confidence)), affines

    def _looks(
        self, faces: Sequence[Face], affines: list[np.ndarray], confidence: np.ndarray
    ) -> tuple[Prediction, list[np.ndarray]]:
        """Predictions of one look or two, with the network's own scores, and the crops' affines that they belong to."""
        first = self.predict(_crops(faces, affines))
        if self.look_again == math.inf:
            return first, affines
        better = framed_by(first.faces.landmarks, first.codes.rotation, affines)
        rows = [k for k in range(len(faces)) if corner_shift(affines[k], better[k]) > self.look_again]
        if not rows:
            return first, affines
        for k in rows:
            affines[k] = better[k]
        again = self.predict(_crops([faces[k] for k in rows], [affines[k] for k in rows]), together=len(faces))
        again = again._replace(scores=scores.of_two_looks(first.scores[rows], again.scores, confidence[rows]))
        return jax.tree.map(lambda old, new: _replaced(old, rows, new), first, again), affines

    def _result(self, face: Face, index: int, prediction: Prediction, *, affine: np.ndarray) -> Reconstruction:
        """The reconstruction of one face from the prediction on its crop."""
        decoded, uncertainty, final = prediction.faces, prediction.landmark_uncertainty, prediction.final_codes
        return Reconstruction(
            vertices=np.asarray(decoded.vertices),
            triangles=self._triangles,
            reflectance=np.asarray(decoded.reflectance),
            code=prediction.codes if final is None else final.lit,
            final_code=final,
            landmarks68=in_photo(affine, np.asarray(decoded.landmarks)),
            projected=in_photo(affine, np.asarray(decoded.projected)),
            box=np.asarray(face.box, np.float64),
            crop_from_photo=affine,
            score=float(prediction.scores),
            reflectance_corrections=np.zeros_like(decoded.reflectance),
            model_version=self.network.version,
            source=face.source,
            name=face.name,
            index=index,
            photo=face.photo,
            model=self.model,
            landmark_uncertainty=None if uncertainty is None else np.asarray(uncertainty) / math.hypot(*affine[:, 0]),
            unoccluded=None if prediction.unoccluded is None else np.asarray(prediction.unoccluded),
        )


def _chunks(
    stream: FaceStream, detector: str, photos: Sequence, boxes: Sequence | None
) -> Iterator[tuple[int, list[Face]]]:
    """How many photos have been read, and the faces of those not yet worked on."""
    names, faces, read, pixels = Names(), [], 0, 0
    for number, photo in enumerate(photos):
        found = _faces(stream, names, detector, number=number, photo=photo, boxes=boxes)
        faces += found
        read, pixels = read + 1, pixels + (found[0].photo[..., 0].size if found else 0)
        if read == PHOTOS_AT_ONCE or pixels > PIXELS_AT_ONCE:
            yield number + 1, faces
            faces, read, pixels = [], 0, 0
    yield len(photos), faces


def _faces(
    stream: FaceStream, names: Names, detector: str, *, number: int, photo: Any, boxes: Sequence | None
) -> list[Face]:
    """The boxes of one photo; one that cannot be used is noted in the stream's failures."""
    source = source_of(photo, number)
    try:
        rgb = read_source(photo, source)
        if boxes is not None:
            found = [Detection(box, 0.0) for box in checked_boxes(boxes[number], rgb, source)]
        else:
            found = detect_faces(rgb, detector=detector)
        if not found:
            raise InputError(
                f"{source}: no face found; enlarge a small photo, or give the face's place as a box x0, y0, x1, y1"
            )
    except InputError as error:
        stream.failures.append(Failure(source, str(error)))
        return []
    name = names.of_path(photo) if isinstance(photo, str | os.PathLike) else names.of_array(rgb, number)
    return [Face(rgb, source, name, number, face.box, face.roll, _known_confidence(face, detector)) for face in found]


def _under_the_crops_light(prediction: Prediction, gains: Float[np.ndarray, "B 3"]) -> Prediction:
    """A prediction of balanced crops with the light of the crops themselves."""
    codes, final = prediction.codes, prediction.final_codes
    codes = codes.replace(illumination=codes.illumination / gains[:, None])
    if final is not None:
        final = final.replace(base=codes, illumination=final.illumination / gains[:, None])
    return prediction._replace(codes=codes, final_codes=final)


def _known_confidence(face: Detection, detector: str) -> float:
    return face.confidence if detector == "libfacedetection" else 0.0


def _replaced(rows: np.ndarray, places: list[int], new: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows[places] = new
    return rows


@functools.cache
def _compiled(function: Callable, crops: int, encoder: str) -> KeptProgram:
    """`predict` or `predict_codes` for so many crops and an encoder, compiled.

    XLA's fusion emitters take twice to three times as long to compile these programs, which run no faster with them.
    For the first single crops LLVM optimises nothing: the quick program is ready in a third of the time, and takes
    twice as long for each. It is compiled in one part: to cut it into parts takes longer than other cores then save.
    """
    options: dict[str, Any] | None = None
    quickly: dict[str, Any] | None = None
    if jax.default_backend() == "cpu":
        options = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 1}
        quickly = options | {"xla_backend_optimization_level": 0, "xla_cpu_parallel_codegen_split_count": 1}
    called, name = functools.partial(function, encoder=encoder), f"{function.__name__}-{encoder}"
    if crops == 1 and quickly is not None:
        return KeptProgram(called, name, quickly, for_good=options)
    return KeptProgram(called, name, options)


def _in_batches(function: Callable, crops: np.ndarray, together: int = 0) -> Any:
    """`function` of B crops, as NumPy arrays, in parts of 1, SMALL_BATCH or BATCH: it is compiled for these alone.

    After many crops `together`, few are a batch too: another program would have to be compiled or read for them.
    """
    count, start, answers = len(crops), 0, []
    while start < count:
        size = 1 if max(count, together) <= SINGLY else SMALL_BATCH if count - start <= FEW else BATCH
        part = crops[start : start + size]
        start += size
        padded = part if len(part) == size else part[np.minimum(np.arange(size), len(part) - 1)]
        answers.append(jax.tree.map(np.asarray, function(padded)))
    whole = answers[0] if len(answers) == 1 else jax.tree.map(lambda *parts: np.concatenate(parts), *answers)
    return jax.tree.map(lambda array: array[:count], whole)


def _row(rows: Any, k: int) -> Any:
    return jax.tree.map(lambda array: array[k], rows)


def _crops(faces: Sequence[Face], affines: list[np.ndarray]) -> np.ndarray:
    return np.stack([crop_photo(face.photo, affine) for face, affine in zip(faces, affines, strict=True)])
