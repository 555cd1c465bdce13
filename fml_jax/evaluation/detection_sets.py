"""Pictures whose faces are known, made from photos of people that no network is trained on.

A set is a function of the photos, the split and the seed: a smaller set is the beginning of a larger one. References
come from MediaPipe on the upright, unchanged photo, unless a set's docstring names another source.

The photos lie in one folder: lfw/ and youtube/ with one folder a person, utkface/ and masked/ without.
"""

import hashlib
import itertools
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.corpus.layouts import LAYOUTS
from fml_jax.corpus.splits import Split, split_of
from fml_jax.errors import InputError
from fml_jax.evaluation.photo_sets import padded, split_of_photo
from fml_jax.evaluation.reference_faces import (
    Box,
    LandmarkCache,
    ReferenceFace,
    overlaps,
    possible_faces,
    reference_face,
)
from fml_jax.photos.crops import apply_affine
from fml_jax.photos.reading import list_photos, read_photo
from fml_jax.photos.yunet import detect_faces_with_yunet

OFF_CENTRE = 50.0  # pixels; in LFW, landmarks whose box is farther off the middle are a bystander's
FOREHEAD = 0.3  # the hairline, in heights of the landmarks' box above the brows

# Factors of red, green and blue. Red and blue swapped is a sixth, which no factors give.
LIGHTS = {
    "red": (1.0, 0.35, 0.3),
    "green": (0.35, 1.0, 0.4),
    "blue": (0.35, 0.5, 1.0),
    "deep blue": (0.08, 0.15, 1.0),
    "sodium": (1.0, 0.55, 0.12),
}
SWAPPED = "red and blue swapped"

# Masked faces whose references are wrong, found by eye.
WRONG_MASKED = frozenset(["065"])

_SCENE = 640, 480  # pixels
_TILE = 160  # pixels of a scene's tiles
_TILES = 60  # different ones
_SURROUNDINGS = 2.2  # side of what is pasted about a face, in box sides
_CELL = 160  # pixels that a face of a crowd has at most, with its surroundings
_SMALLEST_BACKGROUND = 40  # pixels
_LARGE_BACKGROUND = 320  # pixels that every second background is enlarged to
_BACKGROUNDS_A_PHOTO = 8
_TRIES = 300  # squares drawn in a photo
_FLATTEST = 6.0  # standard deviation of the grey levels of a background; flatter ones are too easy
_HEAD = 0.25  # of a face's box on each side of it, which also belongs to the head


class Picture(NamedTuple):
    """A picture and the faces that are to be found in it."""

    name: str
    rgb: UInt8[np.ndarray, "H W 3"]
    faces: tuple[ReferenceFace, ...]


class KnownFace(NamedTuple):
    """A photo and the landmarks of its face."""

    name: str
    rgb: UInt8[np.ndarray, "H W 3"]
    landmarks68: Float[np.ndarray, "68 2"]


class HeldOutPhotos:
    """The photos of one split."""

    def __init__(self, folder: Path, split: Split, cache: LandmarkCache, *, seed: int = 0) -> None:
        """`folder` has the collections as subfolders.

        Raises:
          InputError: a collection is missing.
        """
        for name in ("lfw", "youtube", "utkface", "masked"):
            if not (folder / name).is_dir():
                raise InputError(f"{folder}: no folder {name} in it; give the folder of lfw, youtube, utkface, masked")
        self.folder, self.split, self.cache, self.seed = folder, split, cache, seed
        self._tiles: list[np.ndarray] = []
        self._paths: dict[str, list[Path]] = {}

    def rng(self, *names: str) -> np.random.Generator:
        """A generator for what has these names, whatever else is drawn."""
        return np.random.default_rng([self.seed, *(zlib.crc32(name.encode()) for name in names)])

    def paths(self, collection: str) -> list[Path]:
        """This split's photos of a collection, in random order."""
        if collection not in self._paths:
            self._paths[collection] = self._listed(collection)
        return self._paths[collection]

    def _listed(self, collection: str) -> list[Path]:
        paths = list_photos(self.folder / collection)
        if collection in ("lfw", "youtube"):
            paths = [path for path in paths if split_of(path.parent.name) == self.split]
        else:
            split = split_of_photo if collection == "utkface" else _split_without_training
            paths = [path for path in paths if split(path) == self.split]
        order = self.rng(collection).permutation(len(paths))
        return [paths[k] for k in order]

    def lfw(self, purpose: str = "") -> Iterator[KnownFace]:
        """LFW's photos whose face is in the middle, again and again; another order for each purpose."""
        paths = self.paths("lfw")
        order = self.rng("lfw", purpose).permutation(len(paths)) if purpose else range(len(paths))
        for k in order:
            rgb = read_photo(paths[k])
            points = self.cache.find(f"lfw/{paths[k].name}", rgb)
            if (
                points is not None
                and np.linalg.norm(_middle(points) - (np.array(rgb.shape[1::-1]) - 1) / 2) < OFF_CENTRE
            ):
                yield KnownFace(paths[k].stem, rgb, points)

    def scene(self, width: int, height: int, rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
        """A picture of backgrounds side by side, without a face."""
        if not self._tiles:
            found = [picture.rgb for picture in itertools.islice(_backgrounds(self), _TILES)]
            if not found:
                raise InputError("no photo with a background beside its face; give more photos")
            self._tiles = [cv2.resize(rgb, (_TILE, _TILE), interpolation=cv2.INTER_CUBIC) for rgb in found]
        across, down = math.ceil(width / _TILE), math.ceil(height / _TILE)
        rows = [np.concatenate([self._tile(rng) for _ in range(across)], axis=1) for _ in range(down)]
        return np.ascontiguousarray(np.concatenate(rows)[:height, :width])

    def _tile(self, rng):
        tile = self._tiles[rng.integers(len(self._tiles))]
        return np.flip(tile, axis=1) if rng.random() < 0.5 else tile


def _split_without_training(path: Path) -> Split:
    """As `split_of_photo`, but what that gives to training is for test, too."""
    return "validation" if split_of_photo(path) == "validation" else "test"


def upright(photos: HeldOutPhotos) -> Iterator[Picture]:
    """LFW as it is."""
    for face in photos.lfw():
        yield _picture(face.name, face.rgb, face.landmarks68)


def rotated(photos: HeldOutPhotos) -> Iterator[Picture]:
    """LFW turned by any angle about the face's centre; the border's pixels go on."""
    for face in photos.lfw():
        angle = photos.rng("rotated", face.name).uniform(-180, 180)
        rgb, affine = turned(face.rgb, _middle(face.landmarks68), angle)
        yield _picture(f"{face.name} {angle:.0f}°", rgb, apply_affine(affine, face.landmarks68))


def dark_25(photos: HeldOutPhotos) -> Iterator[Picture]:
    """LFW at a quarter of its brightness."""
    return _darkened(photos, 0.25)


def dark_15(photos: HeldOutPhotos) -> Iterator[Picture]:
    """LFW at 0.15 of its brightness."""
    return _darkened(photos, 0.15)


def coloured(photos: HeldOutPhotos) -> Iterator[Picture]:
    """LFW in six coloured lights, in turn."""
    names = [*LIGHTS, SWAPPED]
    for k, face in enumerate(photos.lfw()):
        light = names[k % len(names)]
        yield _picture(f"{face.name} {light}", in_light(face.rgb, light), face.landmarks68)


def masked(photos: HeldOutPhotos) -> Iterator[Picture]:
    """People with masks; references from YuNet, without rolls."""
    for path in photos.paths("masked"):
        rgb = read_photo(path)
        faces = tuple(ReferenceFace(face.box, None) for face in detect_faces_with_yunet(rgb, min_size=32))
        if faces and path.stem not in WRONG_MASKED:
            yield Picture(path.stem, rgb, faces)


def youtube(photos: HeldOutPhotos) -> Iterator[Picture]:
    """Frames of videos; references from the collection's own landmarks."""
    found = LAYOUTS["youtube"].find(photos.folder / "youtube", 1.0)
    references = {photo.path: photo.reference68 for photo in found}
    for path in photos.paths("youtube"):
        if str(path) in references:
            yield _picture(path.stem, read_photo(path), np.array(references[str(path)]))


def utkface(photos: HeldOutPhotos) -> Iterator[Picture]:
    """UTKFace, whose faces fill the frame; references from MediaPipe on padded photos. Copies are left out."""
    seen = set()
    for path in photos.paths("utkface"):
        rgb = read_photo(path)
        larger, pad = padded(rgb)
        points = photos.cache.find(f"utkface/{path.name} padded", larger)
        digest = hashlib.sha1(rgb.tobytes()).digest()
        if points is not None and digest not in seen:
            seen.add(digest)
            yield _picture(path.stem, rgb, points - pad)


def small_24(photos: HeldOutPhotos) -> Iterator[Picture]:
    """LFW's faces, their boxes 24 pixels large, in scenes."""
    return _small(photos, 24)


def small_32(photos: HeldOutPhotos) -> Iterator[Picture]:
    """LFW's faces, their boxes 32 pixels large, in scenes."""
    return _small(photos, 32)


def small_48(photos: HeldOutPhotos) -> Iterator[Picture]:
    """LFW's faces, their boxes 48 pixels large, in scenes."""
    return _small(photos, 48)


def crowds(photos: HeldOutPhotos) -> Iterator[Picture]:
    """9 to 25 of LFW's faces in a scene, their boxes about 45 to 70 pixels large."""
    faces, number = photos.lfw("crowds"), 0
    while True:
        rng = photos.rng("crowds", str(number))
        across, down = rng.integers(3, 6, 2).tolist()
        members = list(itertools.islice(faces, across * down))
        if len(members) < across * down:
            return
        rgb = photos.scene(across * _CELL, down * _CELL, rng)
        references = []
        for k, face in enumerate(members):
            side = rng.uniform(0.62, 0.97) * _CELL / _SURROUNDINGS
            room = (_CELL - side * _SURROUNDINGS) / 2
            centre = (np.array([k % across, k // across]) + 0.5) * _CELL + rng.uniform(-room, room, 2)
            references.append(_pasted(rgb, face, side, centre))
        yield Picture(f"crowd {number}", rgb, tuple(references))
        number += 1


def edge(photos: HeldOutPhotos) -> Iterator[Picture]:
    """LFW cut so that a quarter of the face, from hairline to chin, is beyond the picture's edge."""
    for face in photos.lfw():
        side = int(photos.rng("edge", face.name).integers(4))
        rgb, corner = cut_by_a_quarter(face.rgb, face.landmarks68, side)
        name = ("left", "top", "right", "bottom")[side]
        yield _picture(f"{face.name} {name}", rgb, face.landmarks68 - corner)


def background(photos: HeldOutPhotos) -> Iterator[Picture]:
    """Squares of the photos beside all faces, every second one enlarged."""
    for k, picture in enumerate(_backgrounds(photos)):
        size = (_LARGE_BACKGROUND, _LARGE_BACKGROUND)
        yield (
            picture
            if k % 2 == 0
            else picture._replace(rgb=cv2.resize(picture.rgb, size, interpolation=cv2.INTER_CUBIC))
        )


class DetectionSet(NamedTuple):
    """One of the sets."""

    make: Callable[[HeldOutPhotos], Iterator[Picture]]
    size: int  # pictures of the full set
    aim: str


SETS = {
    "upright": DetectionSet(upright, 400, "≥ 99.5 %"),
    "rotated": DetectionSet(rotated, 400, "≥ 97 %"),
    "dark_25": DetectionSet(dark_25, 400, "≥ 97 %"),
    "dark_15": DetectionSet(dark_15, 400, "≥ 90 %"),
    "coloured": DetectionSet(coloured, 400, "≥ 97 %"),
    "masked": DetectionSet(masked, 50, "≥ 85 %"),
    "youtube": DetectionSet(youtube, 500, "≥ 97 %"),
    "utkface": DetectionSet(utkface, 500, "≥ 99 %"),
    "small_24": DetectionSet(small_24, 200, ""),
    "small_32": DetectionSet(small_32, 200, "≥ 90 %"),
    "small_48": DetectionSet(small_48, 200, ""),
    "crowds": DetectionSet(crowds, 24, "≥ 90 %"),
    "edge": DetectionSet(edge, 400, "≥ 80 %"),
    "background": DetectionSet(background, 2000, "≤ 2 false in 1,000"),
}


def turned(
    rgb: UInt8[np.ndarray, "H W 3"], centre: Float[np.ndarray, "2"], degrees: float
) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "2 3"]]:
    """A photo turned clockwise about a point, on a canvas that holds all of it, and the affine to that canvas."""
    affine = cv2.getRotationMatrix2D(centre.tolist(), -degrees, 1.0)
    height, width = rgb.shape[:2]
    corners = apply_affine(affine, np.array([[0, 0], [width, 0], [0, height], [width, height]]) - 0.5)
    low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    affine[:, 2] -= low
    size = [int(side) for side in high - low + 1]
    return cv2.warpAffine(rgb, affine, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), affine


def in_light(rgb: UInt8[np.ndarray, "H W 3"], light: str) -> UInt8[np.ndarray, "H W 3"]:
    """A photo in a light of `LIGHTS`, or `SWAPPED`."""
    if light == SWAPPED:
        return np.ascontiguousarray(rgb[..., ::-1])
    return np.round(rgb * np.array(LIGHTS[light], np.float32)).astype(np.uint8)


def cut_by_a_quarter(
    rgb: UInt8[np.ndarray, "H W 3"], landmarks68: Float[np.ndarray, "68 2"], side: int
) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "2"]]:
    """A photo cut through its face at the left, top, right or bottom (0 to 3), and what is now its corner."""
    low, high = landmarks68.min(axis=0), landmarks68.max(axis=0)
    low = low - [0, FOREHEAD * (high[1] - low[1])]
    axis = side % 2
    cut = (3 * low + high)[axis] / 4 if side < 2 else (low + 3 * high)[axis] / 4
    begin, end = [0, 0], [rgb.shape[1], rgb.shape[0]]
    limits = begin if side < 2 else end
    limits[axis] = int(np.clip(round(cut + 0.5), 1, end[axis] - 1))
    part = rgb[begin[1] : end[1], begin[0] : end[0]]
    return np.ascontiguousarray(part), np.array(begin, float)


def _picture(name, rgb, landmarks68) -> Picture:
    return Picture(name, rgb, (reference_face(landmarks68),))


def _middle(points):
    return (points.min(axis=0) + points.max(axis=0)) / 2


def _darkened(photos, factor):
    for face in photos.lfw():
        yield _picture(face.name, np.round(face.rgb * np.float32(factor)).astype(np.uint8), face.landmarks68)


def _small(photos, side):
    for face in photos.lfw():
        rng = photos.rng("small", face.name)
        rgb = photos.scene(*_SCENE, rng)
        room = math.ceil(side * _SURROUNDINGS / 2) + 2
        centre = rng.uniform(room, np.array(_SCENE) - room)
        yield Picture(face.name, rgb, (_pasted(rgb, face, side, centre),))


def _pasted(scene, face: KnownFace, side: float, centre) -> ReferenceFace:
    """Puts a head into a scene, in place, with soft edges; its box gets the given side and centre."""
    x0, y0, x1, y1 = reference_face(face.landmarks68).box
    scale = side / (x1 - x0)
    small = cv2.resize(face.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    in_small = np.array([x0 + x1 + 1, y0 + y1 + 1]) / 2 * scale - 0.5
    corner = np.round(centre - in_small)  # whole pixels, so that nothing is blurred
    affine = np.column_stack([np.eye(2), corner])
    size = scene.shape[1::-1]
    head = cv2.warpAffine(small, affine, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    y, x = np.mgrid[: size[1], : size[0]]
    distance = np.hypot(x - centre[0], y - centre[1]) / (side * _SURROUNDINGS / 2)
    opacity = np.clip((1 - distance) / 0.25, 0, 1)[..., None]
    scene[:] = np.round(opacity * head + (1 - opacity) * scene).astype(np.uint8)
    return reference_face((face.landmarks68 + 0.5) * scale - 0.5 + corner)


def _backgrounds(photos):
    """Squares beside faces, at the photos' own size."""
    paths = [path for pair in zip(photos.paths("lfw"), photos.paths("youtube"), strict=False) for path in pair]
    paths += photos.paths("lfw")[len(paths) // 2 :] + photos.paths("masked")
    for path in paths:
        rng = photos.rng("background", path.name)
        rgb = read_photo(path)
        heads = [_head(box) for box in possible_faces(rgb)]
        taken: list[Box] = []
        for _ in range(_TRIES):
            box = _random_square(rgb.shape, rng)
            if box is None or len(taken) == _BACKGROUNDS_A_PHOTO or not heads:
                break
            if overlaps(box, heads) or overlaps(box, taken):
                continue
            part = np.ascontiguousarray(rgb[box[1] : box[3], box[0] : box[2]])
            if cv2.cvtColor(part, cv2.COLOR_RGB2GRAY).std() > _FLATTEST and not possible_faces(
                part, look=_LARGE_BACKGROUND
            ):
                taken.append(box)
                yield Picture(f"{path.stem} {box[0]},{box[1]}", part, ())


def _head(box: Box) -> Box:
    x0, y0, x1, y1 = box
    wide, high = _HEAD * (x1 - x0), _HEAD * (y1 - y0)
    return (x0 - wide, y0 - high, x1 + wide, y1 + high)


def _random_square(shape, rng):
    """x0, y0, x1, y1 in whole pixels; None in a photo that is too small."""
    largest = min(shape[:2]) // 2
    if largest < _SMALLEST_BACKGROUND:
        return None
    side = round(_SMALLEST_BACKGROUND * (largest / _SMALLEST_BACKGROUND) ** rng.random())
    x, y = (int(rng.integers(0, length - side + 1)) for length in shape[1::-1])
    return (x, y, x + side, y + side)
