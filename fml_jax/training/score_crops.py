"""Crops for the score: faces in every condition in which a detector finds them, and what it finds besides faces."""

import itertools
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from tqdm import tqdm

from fml_jax.corpus.layouts import Photo
from fml_jax.errors import InputError
from fml_jax.photos.boxes import Detection, overlap
from fml_jax.photos.crops import (
    CROP_SIZE,
    SIDE_FACTOR,
    crop_from_landmarks,
    crop_from_photo,
    crop_photo,
    moved_affine,
)
from fml_jax.photos.landmarks import detect_mesh, ibug68
from fml_jax.photos.libfacedetection import candidates
from fml_jax.photos.reading import read_photo

SHIFT_STD, SCALE_STD = 0.05, 0.06  # of a detector's crops about the landmarks', crop sides and logarithm of the side
ROLL = 25.0  # degrees by which a turned face still leans in its crop
DARK_FACES = 0.12, 0.5  # of the brightness
DARK_OTHERS = 0.06, 0.5  # dark places are darker than dark faces: most of them were dark before
HEAD = 0.3  # of a box on each side of it also belongs to the head
FOREHEAD = 0.3  # of the landmarks' height above them, besides
BESIDE = 0.1  # boxes that overlap by no more show different things
_TRIES = 20  # places drawn for one beside all faces
LOOKS = 4  # parts of a photo that are searched for false boxes, and as many in the dark

Crop = UInt8[np.ndarray, "240 240 3"]


class MarkedFace(NamedTuple):
    """A photo and the landmarks of its face."""

    rgb: UInt8[np.ndarray, "H W 3"]
    landmarks68: Float[np.ndarray, "68 2"]


def upright(face: MarkedFace, rng: np.random.Generator) -> Crop:
    """As detectors frame it."""
    return crop_photo(face.rgb, _framed(face, rng, roll=rng.normal(0, 5)))


def turned(face: MarkedFace, rng: np.random.Generator) -> Crop:
    """Up to ROLL degrees off the detector's turn."""
    return crop_photo(face.rgb, _framed(face, rng, roll=rng.uniform(-ROLL, ROLL)))


def dark(face: MarkedFace, rng: np.random.Generator) -> Crop:
    """At 0.12 to 0.5 of its brightness."""
    return _times(turned(face, rng), _between(DARK_FACES, rng))


def coloured(face: MarkedFace, rng: np.random.Generator) -> Crop:
    """In the light of a coloured lamp, or with two colours exchanged."""
    crop = turned(face, rng)
    if rng.random() < 0.25:
        return np.ascontiguousarray(crop[..., [(2, 1, 0), (1, 0, 2), (0, 2, 1)][rng.integers(3)]])
    levels = np.append(1.0, rng.uniform(0.05, [0.6, 1.0]))
    return _times(crop, rng.permutation(levels) * rng.uniform(0.6, 1.0))


def grey(face: MarkedFace, rng: np.random.Generator) -> Crop:
    """Without colours."""
    return cv2.cvtColor(cv2.cvtColor(turned(face, rng), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def blurred(face: MarkedFace, rng: np.random.Generator) -> Crop:
    """As a small face of 16 to 50 pixels looks when it is enlarged."""
    crop, side = upright(face, rng), round(rng.uniform(28, 80))
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)


def cut(face: MarkedFace, rng: np.random.Generator) -> Crop:
    """Cut by the photo's edge, by up to a quarter; the pixels at the edge go on."""
    low, high = face.landmarks68.min(axis=0), face.landmarks68.max(axis=0)
    low = low - [0, 0.3 * (high - low)[1]]
    side, part = rng.integers(4), rng.uniform(-0.05, 0.27)
    axis = side % 2
    at = low[axis] + part * (high - low)[axis] if side < 2 else high[axis] - part * (high - low)[axis]
    corner = np.array([0.0, 0.0])
    rgb = face.rgb
    at = int(np.clip(round(at), 1, rgb.shape[1 - axis] - 2))
    rgb = np.take(rgb, range(at, rgb.shape[1 - axis]) if side < 2 else range(at), axis=1 - axis)
    corner[axis] = at if side < 2 else 0
    return upright(MarkedFace(np.ascontiguousarray(rgb), face.landmarks68 - corner), rng)


def masked(face: MarkedFace, rng: np.random.Generator) -> Crop:
    """With a drawn mask from the nose down, of any colour, plain or with folds or a pattern, with shading."""
    points = face.landmarks68
    top = points[27] + (points[30] - points[27]) * rng.uniform(0.15, 0.9)
    low = int(rng.integers(1, 4))
    chin = points[low : 17 - low] + (points[8] - points[27]) * rng.uniform(-0.02, 0.08)
    outline = np.concatenate([points[[low]], [top], points[[16 - low]], chin[::-1]])
    layer, inside = face.rgb.astype(np.float32), np.zeros(face.rgb.shape[:2], np.float32)
    shift = 4
    cv2.fillPoly(inside, [np.round(outline * 2**shift).astype(np.int32)], 1.0, cv2.LINE_8, shift)
    alpha = cv2.GaussianBlur(inside, (0, 0), 0.7)[..., None]
    grey_level = cv2.GaussianBlur(cv2.cvtColor(face.rgb, cv2.COLOR_RGB2GRAY), (0, 0), 5).astype(np.float32)[..., None]
    shading = 0.45 + 0.55 * grey_level / max(float(grey_level.max()), 1.0)
    colour = _mask_colour(rng)
    pattern = np.ones(alpha.shape, np.float32)
    if rng.random() < 0.6:  # folds
        y = np.arange(len(alpha), dtype=np.float32)[:, None, None]
        width = max(np.ptp(points[:, 1]) / rng.uniform(6, 16), 2)
        pattern = 1 + rng.uniform(0.03, 0.15) * np.sin(2 * math.pi * y / width + rng.uniform(0, 6)) + 0 * alpha
    if rng.random() < 0.25:  # a print
        coarse = rng.uniform(0.5, 1.3, (9, 9, 3)).astype(np.float32)
        pattern = pattern * cv2.resize(coarse, alpha.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    rgb = np.clip((1 - alpha) * layer + alpha * colour * shading * pattern, 0, 255).astype(np.uint8)
    for ear, corner in ((0, low), (16, 16 - low)):
        begin, end = (np.round(points[k]).astype(int).tolist() for k in (ear, corner))
        cv2.line(rgb, begin, end, np.clip(colour, 0, 255).tolist(), 1, cv2.LINE_AA)
    crop = turned(MarkedFace(rgb, points), rng)
    return _times(crop, rng.uniform(0.4, 1.0)) if rng.random() < 0.2 else crop


def beside(face: MarkedFace, rng: np.random.Generator) -> Crop:
    """Another place of the photo, turned by any angle, which shows at most a part of the face."""
    scale = math.exp(rng.uniform(math.log(0.7), math.log(3.0)))
    angle = rng.uniform(0, 2 * math.pi)
    distance = CROP_SIZE * (1 + scale) / SIDE_FACTOR / 2 * rng.uniform(0.9, 1.3)
    shift = distance * np.array([math.cos(angle), math.sin(angle)])
    affine = moved_affine(crop_from_landmarks(face.landmarks68), shift, scale, roll=0.0)
    return crop_photo(face.rgb, moved_affine(affine, np.zeros(2), 1.0, roll=rng.uniform(-math.pi, math.pi)))


def beside_dark(face: MarkedFace, rng: np.random.Generator) -> Crop:
    """Another place of the photo, at 0.06 to 0.5 of its brightness."""
    return _times(beside(face, rng), _between(DARK_OTHERS, rng))


def enlarged(face: MarkedFace, rng: np.random.Generator) -> Crop:
    """A part of a small place beside the face, cut out and enlarged, turned by any angle; its border pixels go on."""
    low, high = face.landmarks68.min(axis=0), face.landmarks68.max(axis=0)
    margin = (high - low) * [HEAD, HEAD + FOREHEAD]
    head = Detection((*(low - margin).tolist(), *(high + margin).tolist()), 1.0)
    picture = next((part for _ in range(_TRIES) if (part := _place(face.rgb, [head], rng)) is not None), None)
    if picture is None:  # the face fills the photo
        return beside(face, rng)
    side = rng.uniform(0.2, 0.8) * len(picture)
    x, y = rng.uniform(0, len(picture), 2) - side / 2
    return crop_photo(picture, crop_from_photo((x, y, x + side, y + side), rng.uniform(-math.pi, math.pi)))


def enlarged_dark(face: MarkedFace, rng: np.random.Generator) -> Crop:
    """The same at 0.06 to 0.5 of its brightness."""
    return _times(enlarged(face, rng), _between(DARK_OTHERS, rng))


def badly_sized(face: MarkedFace, rng: np.random.Generator) -> Crop:
    """Far too small or too large in the crop."""
    low, high = ((0.25, 0.45), (2.2, 4.0))[rng.integers(2)]
    affine = moved_affine(
        crop_from_landmarks(face.landmarks68),
        rng.uniform(-0.15, 0.15, 2) * CROP_SIZE,
        rng.uniform(low, high),
        roll=rng.uniform(-0.4, 0.4),
    )
    return crop_photo(face.rgb, affine)


def badly_turned(face: MarkedFace, rng: np.random.Generator) -> Crop:
    """Lying or upside down in the crop."""
    return crop_photo(face.rgb, _framed(face, rng, roll=rng.choice([-1, 1]) * rng.uniform(70, 180)))


FACES: dict[str, Callable[[MarkedFace, np.random.Generator], Crop]] = {
    "upright": upright,
    "turned": turned,
    "dark": dark,
    "coloured": coloured,
    "grey": grey,
    "blurred": blurred,
    "cut": cut,
    "masked": masked,
}
HEADS: dict[str, Callable[[MarkedFace, np.random.Generator], Crop]] = {
    "video": turned,
    "video, dark": dark,
    "video, coloured": coloured,
    "video, masked": masked,
}
OTHERS: dict[str, Callable[[MarkedFace, np.random.Generator], Crop]] = {
    "beside": beside,
    "beside, dark": beside_dark,
    "enlarged": enlarged,
    "enlarged, dark": enlarged_dark,
    "badly sized": badly_sized,
    "badly turned": badly_turned,
}
PLACES = "beside", "beside, dark", "enlarged", "enlarged, dark"
PLACES_A_FACE = 5  # of each of these kinds: what is no face differs more than faces do
FALSE, DARK_FALSE = "false boxes", "false boxes, dark"
# What each kind counts for. Others count twice as much as faces: a false face is worse than a face that is reported
# as unsure.
SHARES = {kind: 1 / (len(FACES) + len(HEADS)) for kind in (*FACES, *HEADS)} | {
    kind: 2 / (len(OTHERS) + 2) for kind in (*OTHERS, FALSE, DARK_FALSE)
}


def false_box_crops(
    rgb: UInt8[np.ndarray, "H W 3"],
    faces: Sequence[Detection],
    rng: np.random.Generator,
    *,
    looks: int = LOOKS,
    dark: bool = False,
) -> Iterator[tuple[Crop, float]]:
    """Crops of boxes in which the detector sees a face and none is, with its confidence.

    Parts of the photo beside the faces are enlarged, turned at random and searched.

    Args:
      faces: of the photo, also those that the detector is not sure of.
      looks: parts that are drawn; those that show a face are left out.
      dark: the parts are searched at 0.06 to 0.5 of their brightness.
    """
    for _ in range(looks):
        picture = _place(rgb, faces, rng)
        if picture is None:
            continue
        if dark:
            picture = _times(picture, _between(DARK_OTHERS, rng))
        for found in candidates(picture):
            yield crop_photo(picture, crop_from_photo(found.box, found.roll)), found.confidence


def _place(
    rgb: UInt8[np.ndarray, "H W 3"], faces: Sequence[Detection], rng: np.random.Generator
) -> UInt8[np.ndarray, "size size 3"] | None:
    """A square of a photo, enlarged and turned at random; None where it shows a part of a face."""
    side = rng.uniform(0.12, 0.5) * min(rgb.shape[:2])
    x, y = rng.uniform([0, 0], np.array(rgb.shape[1::-1]) - side)
    part = Detection((x, y, x + side, y + side), 0.0)
    if any(overlap(part, face) > BESIDE for face in faces):
        return None
    size = int(rng.choice([96, 160, 240]))
    angle = rng.uniform(-math.pi, math.pi)
    centre = np.array([x, y]) + side / 2
    linear = size / side * np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return crop_photo(rgb, np.column_stack([linear, (size - 1) / 2 - linear @ centre]), size)


def crops_by_kind(
    paths: Sequence[Path], frames: Sequence[Photo], count: int, *, searched: int, seed: int = 0
) -> Iterator[tuple[str, UInt8[np.ndarray, "S 240 240 3"]]]:
    """Kinds and their crops, one kind after the other. Photos that cannot be read are reported and left out.

    Args:
      paths: photos of one face each, upright in the middle.
      frames: photos with landmarks of a face, turned away from the camera more often.
      count: faces of each kind; there are `PLACES_A_FACE` times as many places beside them.
      searched: photos to look for false boxes in; their crops are followed by their mirror images.

    Raises:
      InputError: there are no photos, or no landmarks are found in any.
    """
    rng = np.random.default_rng(seed)
    marked = itertools.islice(_marked(_in_random_order(paths, rng)), count)
    faces = list(tqdm(marked, total=count, desc="landmarks", unit="face"))
    heads = list(itertools.islice(_marked_frames(_in_random_order(frames, rng)), count))
    if not faces or not heads:
        raise InputError(f"no faces with landmarks in {len(paths)} photos and {len(frames)} frames; give more")
    for kind, make in (FACES | OTHERS).items():
        times = PLACES_A_FACE if kind in PLACES else 1
        yield kind, np.stack([make(face, rng) for face in faces for _ in range(times)])
    for kind, make in HEADS.items():
        yield kind, np.stack([make(head, rng) for head in heads])
    backgrounds = _in_random_order([*paths, *(Path(frame.path) for frame in frames)], rng)[:searched]
    yield from _false_boxes(tqdm(backgrounds, desc="false boxes", unit="photo"), rng)


def is_face(kind: str) -> bool:
    """Whether crops of a kind are to score high."""
    return kind in FACES or kind in HEADS


def _in_random_order(items: Sequence, rng: np.random.Generator) -> list:
    return [items[k] for k in rng.permutation(len(items))]


def _readable(paths: Iterable[Path]) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Photos, one after the other; those that cannot be read are reported."""
    for path in paths:
        try:
            yield read_photo(path)
        except InputError as error:
            tqdm.write(f"left out: {error}", file=sys.stderr)


def _marked(paths: Iterable[Path]) -> Iterator[MarkedFace]:
    """Photos with landmarks in the middle."""
    for rgb in _readable(paths):
        middle, quarter = np.array(rgb.shape[1::-1]) / 2, min(rgb.shape[:2]) / 4
        mesh = detect_mesh(rgb, (*(middle - quarter), *(middle + quarter)))
        if mesh is not None:
            points = ibug68(mesh[:, :2])
            if np.abs((points.min(axis=0) + points.max(axis=0)) / 2 - middle).max() < quarter:
                yield MarkedFace(rgb, points)


def _marked_frames(frames: Iterable[Photo]) -> Iterator[MarkedFace]:
    for frame in frames:
        for rgb in _readable([Path(frame.path)]):
            yield MarkedFace(rgb, np.array(frame.reference68, np.float32))


def _false_boxes(paths: Iterable[Path], rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """False boxes of photos beside their faces, by their kinds; what MediaPipe sees a face in is none."""
    crops: dict[str, list[Crop]] = {FALSE: [], DARK_FALSE: []}
    for rgb in _readable(paths):
        heads = []
        for x0, y0, x1, y1 in (face.box for face in candidates(rgb)):
            margin = HEAD * (x1 - x0)
            heads.append(Detection((x0 - margin, y0 - margin, x1 + margin, y1 + margin), 1.0))
        for kind in crops:
            found = false_box_crops(rgb, heads, rng, dark=kind == DARK_FALSE)
            crops[kind] += [crop for crop, _ in found if detect_mesh(crop) is None]
    yield from ((kind, np.concatenate([each, np.flip(each, axis=2)])) for kind, each in crops.items() if each)


def _framed(face: MarkedFace, rng, roll: float) -> Float[np.ndarray, "2 3"]:
    """The crop about landmarks of an upright face, scattered as a detector's are, with the face leaning by `roll`."""
    shift = SHIFT_STD * CROP_SIZE * rng.standard_normal(2)
    scale = math.exp(SCALE_STD * rng.standard_normal())
    return moved_affine(crop_from_landmarks(face.landmarks68), shift, scale, roll=math.radians(roll))


def _between(limits: tuple[float, float], rng) -> float:
    """A factor between two, evenly by its logarithm."""
    low, high = limits
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _times(picture: UInt8[np.ndarray, "H W 3"], factors) -> UInt8[np.ndarray, "H W 3"]:
    return np.clip(np.round(picture * np.asarray(factors, np.float32)), 0, 255).astype(np.uint8)


def _mask_colour(rng) -> Float[np.ndarray, "3"]:
    """White, light blue or black as most masks are, or any colour."""
    kind = rng.random()
    if kind < 0.25:
        return np.full(3, rng.uniform(190, 255))
    if kind < 0.5:
        return np.array([120, 175, 215]) * rng.uniform(0.8, 1.15) + rng.normal(0, 12, 3)
    if kind < 0.7:
        return np.full(3, rng.uniform(15, 70)) + rng.normal(0, 5, 3)
    return rng.uniform(20, 255, 3)
