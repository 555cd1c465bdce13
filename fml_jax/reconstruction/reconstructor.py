"""Photos → reconstructions: detection, crops, the network in batches, decoding."""

import functools
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from tqdm import tqdm

from fml_jax.codes import FaceCode, code_from_network
from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel, restrict
from fml_jax.face_model.files import load_face_model
from fml_jax.fitting.colours import ColourSolver
from fml_jax.networks.encoders import make_encoder
from fml_jax.networks.weights import load_weights
from fml_jax.photos.crops import CROP_SIZE, apply_affine, crop_from_landmarks, crop_from_photo, crop_photo
from fml_jax.photos.detection import detect_faces
from fml_jax.photos.reading import as_rgb, read_photo
from fml_jax.reconstruction.decoding import Decoded, finish_all, landmarks_and_rolls
from fml_jax.reconstruction.reconstruction import Reconstruction, in_photo

OPEN_WEIGHTS = Path(__file__).parent / "open_light.npz"

BATCH = 32  # crops that go through the network together

# Photos are held in memory while their faces are worked on: this many, or less if they are large.
PHOTOS_AT_ONCE = 64
PIXELS_AT_ONCE = 200_000_000  # 600 MB

# A crop is looked at again, upright and framed anew, where that moves one of its corners by more than this many pixels.
LOOK_AGAIN = 36.0

# A crop's score under which a detected box is taken for no face.
MIN_SCORE = 0.5


class Face(NamedTuple):
    """A box in a photo, on its way through the network."""

    photo: np.ndarray
    source: str
    number: int  # which of the photos in hand
    box: tuple[float, float, float, float]


class Reconstructor:
    """The network and its face model, ready for photos.

        reconstructor = fml_jax.Reconstructor.default()
        for face in reconstructor("photo.jpg"):
            face.save("out")

    After a call with several photos, `failures` lists those that gave no face, as (name, reason).
    """

    def __init__(
        self,
        weights: str | Path = OPEN_WEIGHTS,
        look_again: float = LOOK_AGAIN,
        solve_colours: bool = True,
        min_score: float = MIN_SCORE,
    ):
        """Loads weights (a file of `fml_jax.networks.weights`) and the open model.

        Args:
          look_again: the network looks a second time, at an upright crop framed by its first answer, where
            that moves a corner by more than this many crop pixels: 0 is always, infinity never.
          solve_colours: light and reflectance are solved on the crop where the network's geometry puts the
            face; else they are the network's own.
          min_score: detected boxes under this score are taken for no face; boxes given are kept.

        Raises:
          InputError: unreadable weights, or weights of another face model or encoder.
        """
        params, self.metadata = load_weights(weights)
        digest = hashlib.sha256(Path(weights).read_bytes()).hexdigest()[:8]
        self.model: BaseModel = load_face_model()
        if self.metadata["model"] != self.model.name:
            raise InputError(f"{weights}: made for the face model {self.metadata['model']}, not {self.model.name}")
        self.version = f"{self.model.name}, {self.metadata['encoder']} encoder, weights {digest}"
        self._triangles = np.asarray(self.model.topology.triangles)
        self._marks_model = restrict(self.model, np.zeros(self.model.vertex_count, bool))
        self.look_again, self.min_score = look_again, min_score
        self._solver = ColourSolver.of(self.model) if solve_colours else None
        self.failures: list[tuple[str, str]] = []
        self._encoder = make_encoder(self.metadata["encoder"], sum(self.model.code_sizes) + 33)
        self._params = params
        if not _fits(params, self._encoder):
            raise InputError(
                f"{weights}: made for another {self.metadata['encoder']} encoder than this program has; train anew"
            )

    @classmethod
    def default(cls) -> "Reconstructor":
        """The network that comes with the package."""
        return cls()

    def __call__(self, photos, boxes=None, refine: bool = False, progress: bool = False) -> list[Reconstruction]:
        """Reconstructs every face of one photo or of many.

        Args:
          photos: a path, an array (grey, RGB or RGBA; uint8, uint16 or floats in [0, 1]), or a list
            of these.
          boxes: instead of detection: for one photo a list of boxes (x0, y0, x1, y1), framed as
            face detectors do; for a list of photos, a list of such lists.
          refine: fit each face's code to its crop, then correct its reflectance (some seconds a face).
          progress: show a bar.

        Returns:
          One reconstruction a face, photos in order, a photo's faces largest first. Each holds on
          to its photo; for more photos than fit into memory use `stream`.

        Raises:
          InputError: a single photo that cannot be read or shows no face, or boxes for another
            number of photos. In a list, photos that give no face are skipped and told in `failures`.
        """
        single = not isinstance(photos, (list, tuple))
        if single and isinstance(photos, (str, Path)) and Path(photos).is_dir():
            raise InputError(
                f"{photos}: a folder; give a list of its photos, or run experiments.reconstruct --input={photos}"
            )
        photos, boxes = ([photos], None if boxes is None else [boxes]) if single else (list(photos), boxes)
        found = list(self.stream(photos, boxes, refine, progress))
        if single and self.failures:
            raise InputError(self.failures[0][1])
        return found

    def stream(
        self, photos: Sequence, boxes=None, refine: bool = False, progress: bool = False
    ) -> Iterator[Reconstruction]:
        """As a call with a list, one reconstruction after the other, with few photos in memory at a time."""
        if boxes is not None and len(boxes) != len(photos):
            raise InputError(
                f"boxes for {len(boxes)} photos, but there are {len(photos)}; give one list of boxes a photo"
            )
        self.failures = []
        with tqdm(total=len(photos), unit="photo", disable=not progress) as bar:
            for done, faces in self._chunks(photos, boxes):
                for number, result in self._kept(faces, boxes is not None):
                    bar.update(number - bar.n)
                    yield _refined(result) if refine else result
                bar.update(done - bar.n)

    def _chunks(self, photos, boxes) -> Iterator[tuple[int, list[Face]]]:
        """How many photos have been read, and the faces of those not yet worked on."""
        faces: list[Face] = []
        read, pixels = 0, 0
        for number, photo in enumerate(photos):
            found = self._faces(photo, number, None if boxes is None else boxes[number])
            faces += found
            read, pixels = read + 1, pixels + (found[0].photo[..., 0].size if found else 0)
            if read == PHOTOS_AT_ONCE or pixels > PIXELS_AT_ONCE:
                yield number + 1, faces
                faces, read, pixels = [], 0, 0
        yield len(photos), faces

    def codes(self, crops: np.ndarray) -> tuple[FaceCode, np.ndarray]:
        """The network alone: crops [B, 240, 240, 3] uint8 → codes and scores [B]."""
        sizes = self.model.code_sizes
        return _in_batches(lambda part: _answers(self._encoder, sizes, self._params, part), crops)

    def finished(self, codes: FaceCode, crops: np.ndarray) -> tuple[FaceCode, Decoded]:
        """Codes of crops [B, 240, 240, 3] uint8 with colours solved on them, where that is asked for, and decoded."""
        return _in_batches(lambda part: finish_all(self.model, self._solver, *part), (codes, crops))

    def _faces(self, photo, number, boxes) -> list[Face]:
        """The boxes of one photo; one that cannot be used is noted in `failures`."""
        name = str(photo) if isinstance(photo, (str, Path)) else f"photo {number}"
        try:
            rgb = read_photo(photo) if isinstance(photo, (str, Path)) else as_rgb(np.asarray(photo), name)
            found = (
                [_checked(box, rgb, name) for box in boxes] if boxes is not None else [d.box for d in detect_faces(rgb)]
            )
            if not found:
                raise InputError(
                    f"{name}: no face found; enlarge a small photo, or give the face's place as a box x0, y0, x1, y1"
                )
        except InputError as error:
            self.failures.append((name, str(error)))
            return []
        return [Face(rgb, name, number, box) for box in found]

    def reconstruct(self, faces: list[Face], boxes_given: bool) -> Iterator[Reconstruction]:
        """Boxes in photos → reconstructions; boxes that were detected are dropped where they score low."""
        return (result for _, result in self._kept(faces, boxes_given))

    def _kept(self, faces, boxes_given) -> Iterator[tuple[int, Reconstruction]]:
        """Reconstructions with their photos' numbers; photos that keep none are noted in `failures`."""
        if not faces:
            return
        codes, decoded, scores, affines = self._look(faces)
        kept = [k for k in range(len(faces)) if boxes_given or scores[k] >= self.min_score]
        with_face = {faces[k].number for k in kept}
        without = {face.number: face for face in faces if face.number not in with_face}
        for face in without.values():
            reason = f"{face.source}: what the detector found does not look like a face; give the place of one as a box x0, y0, x1, y1"
            self.failures.append((face.source, reason))
        index: Counter[int] = Counter()
        for k in kept:
            number, (code, shown) = faces[k].number, _row((codes, decoded), k)
            yield number, self._result(faces[k], index[number], code, shown, affines[k], float(scores[k]))
            index[number] += 1

    def _look(self, faces) -> tuple[FaceCode, Decoded, np.ndarray, list[np.ndarray]]:
        """Codes, decoded as well, and scores, and the crops that they belong to."""
        affines = [crop_from_photo(face.box) for face in faces]
        crops = _crops(faces, affines)
        codes, scores = self.codes(crops)
        if self.look_again < math.inf:
            codes, scores, affines, crops = self._looked_again(faces, codes, scores, affines, crops)
        return *self.finished(codes, crops), scores, affines

    def _looked_again(self, faces, codes, scores, affines, crops):
        """The same, with second answers for the faces whose crops were badly framed."""
        better = self._framed_by(codes, affines)
        rows = [k for k in range(len(faces)) if _corner_shift(affines[k], better[k]) > self.look_again]
        if not rows:
            return codes, scores, affines, crops
        for k in rows:
            affines[k], crops[k] = better[k], crop_photo(faces[k].photo, better[k])
        again, scores_again = self.codes(crops[rows])
        codes = jax.tree.map(lambda old, new: _replaced(old, rows, new), codes, again)
        return codes, _replaced(scores, rows, np.minimum(scores[rows], scores_again)), affines, crops

    def _framed_by(self, codes: FaceCode, affines: list[np.ndarray]) -> list[np.ndarray]:
        """Crops about the landmarks of first answers, upright."""
        marks, rolls = _in_batches(lambda part: landmarks_and_rolls(self._marks_model, part), codes)
        return [
            crop_from_landmarks(in_photo(affine, points), math.radians(roll) - math.atan2(affine[1, 0], affine[0, 0]))
            for affine, points, roll in zip(affines, marks, rolls.tolist())
        ]

    def _result(self, face: Face, index: int, code: FaceCode, decoded: Decoded, affine: np.ndarray, score: float):
        """The reconstruction that a decoded code means on a crop."""
        return Reconstruction(
            vertices=decoded.vertices,
            triangles=self._triangles,
            reflectance=decoded.reflectance,
            code=code,
            landmarks68=in_photo(affine, decoded.landmarks),
            projected=in_photo(affine, decoded.projected),
            box=np.asarray(face.box, np.float64),
            crop_from_photo=affine,
            score=score,
            reflectance_corrections=np.zeros_like(decoded.reflectance),
            model_version=self.version,
            source=face.source,
            index=index,
            photo=face.photo,
            model=self.model,
        )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _answers(encoder, sizes, params, crops):
    """Codes and scores of crops [B, 240, 240, 3] uint8."""
    raw, logits = encoder.apply({"params": params}, crops.astype(jnp.float32) / 255)
    return code_from_network(raw, *sizes), jax.nn.sigmoid(logits)


def _fits(params: dict, encoder) -> bool:
    """Whether weights have every parameter of an encoder in its shape; they may have others besides."""
    wanted = jax.eval_shape(encoder.init, jax.random.key(0), jnp.zeros((1, CROP_SIZE, CROP_SIZE, 3)))["params"]
    found = flatten_dict(params)
    return all(name in found and found[name].shape == own.shape for name, own in flatten_dict(wanted).items())


def _corner_shift(before: np.ndarray, after: np.ndarray) -> float:
    """The furthest that a corner of the crop moves from one framing to another, pixels."""
    end = CROP_SIZE - 1
    corners = np.array([[0, 0], [end, 0], [0, end], [end, end]], np.float64)
    return float(np.linalg.norm(apply_affine(after, in_photo(before, corners)) - corners, axis=1).max())


def _replaced(rows: np.ndarray, places: list[int], new: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows[places] = new
    return rows


def _in_batches(function: Callable, rows: Any) -> Any:
    """`function` over arrays of B rows, as NumPy arrays, in parts of 1 or BATCH: it is compiled twice at most."""
    count = len(jax.tree.leaves(rows)[0])
    if count == 1:  # a single face comes without the detours of many
        return jax.tree.map(np.asarray, function(rows))
    answers = []
    for start in range(0, count, BATCH):
        places = np.minimum(np.arange(start, start + BATCH), count - 1)  # the last row fills up the last part
        answer = jax.tree.map(np.asarray, function(jax.tree.map(lambda array: array[places], rows)))
        answers.append(jax.tree.map(lambda array: array[: count - start], answer))
    return jax.tree.map(lambda *parts: np.concatenate(parts) if len(parts) > 1 else parts[0], *answers)


def _row(rows: Any, k: int) -> Any:
    return jax.tree.map(lambda array: array[k], rows)


def _crops(faces, affines) -> np.ndarray:
    return np.stack([crop_photo(face.photo, affine) for face, affine in zip(faces, affines)])


def _checked(box, photo, name) -> tuple[float, float, float, float]:
    try:
        numbers = np.asarray(box, np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (4,) or not np.isfinite(numbers).all() or not (numbers[2:] > numbers[:2]).all():
        raise InputError(f"{name}: {box} is no box; give a list of x0, y0, x1, y1 in pixels with x0 < x1 and y0 < y1")
    height, width = photo.shape[:2]
    if not ((numbers[:2] < [width, height]).all() and (numbers[2:] > 0).all()):
        raise InputError(f"{name}: the box {box} lies outside the photo of {width}×{height} pixels")
    return tuple(numbers.tolist())


def _refined(result: Reconstruction) -> Reconstruction:
    from fml_jax.reconstruction.refinement import refine

    return refine(result)
