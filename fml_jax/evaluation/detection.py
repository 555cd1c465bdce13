"""How many faces of a set of pictures are found, and how many of the boxes found are no faces.

A face counts as detected where a box overlaps its reference box by MIN_OVERLAP (intersection over union), as upright
where that box's roll is also right to MAX_ROLL degrees, and as accepted where the box's score is also at least
MIN_SCORE. A box belongs to one face at most.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from fml_jax.evaluation.detection_sets import Picture
from fml_jax.evaluation.reference_faces import Box, ReferenceFace
from fml_jax.photos.boxes import Detection
from fml_jax.reconstruction.reconstruction import Reconstruction
from fml_jax.reconstruction.reconstructor import Reconstructor
from fml_jax.reconstruction.sources import source_of

MIN_OVERLAP = 0.5
MAX_ROLL = 10.0  # degrees
MIN_SCORE = 0.5

STAGES = ("detected", "upright", "accepted")
_AT_ONCE = 64  # pictures


class FoundFace(NamedTuple):
    """A box that a program returned for a picture."""

    box: Box
    roll: float  # degrees, clockwise
    score: float


class Judged(NamedTuple):
    """A picture, what was found in it, and how far each of its faces got."""

    picture: Picture
    found: list[FoundFace]
    stages: list[int]  # for each reference face how many of STAGES it passed
    false: list[FoundFace]  # accepted boxes without a reference face


class Tally(NamedTuple):
    """Sums over a set."""

    pictures: int
    faces: int
    detected: int
    upright: int
    accepted: int
    false: int

    def share(self, stage: str) -> float:
        """The part of the faces that passed a stage; NaN in a set without faces."""
        return getattr(self, stage) / self.faces if self.faces else math.nan


Finder = Callable[[Sequence[UInt8[np.ndarray, "H W 3"]]], list[list[FoundFace]]]


def by_detector(detect: Callable[[UInt8[np.ndarray, "H W 3"]], list[Detection]]) -> Finder:
    """What a detector finds; everything is accepted."""

    def find(pictures):
        return [[FoundFace(face.box, math.degrees(face.roll), 1.0) for face in detect(rgb)] for rgb in pictures]

    return find


def by_reconstructor(reconstructor: Reconstructor) -> Finder:
    """What is reconstructed. The reconstructor's `min_score` should be 0, so that scores are known of all boxes."""

    def find(pictures: Sequence[np.ndarray]) -> list[list[FoundFace]]:
        found: dict[str, list[FoundFace]] = {source_of(rgb, k): [] for k, rgb in enumerate(pictures)}
        for face in reconstructor(list(pictures)):
            found[face.source].append(FoundFace(tuple(face.box.tolist()), reconstructed_roll(face), face.score))
        return list(found.values())

    return find


def reconstructed_roll(face: Reconstruction) -> float:
    """Degrees in the photo: the crop's roll and the head's within the crop."""
    of_crop = -math.degrees(math.atan2(face.crop_from_photo[1, 0], face.crop_from_photo[0, 0]))
    return of_crop + face.angles[2]


def judged(pictures: Iterable[Picture], find: Finder) -> Iterator[Judged]:
    """Every picture with what was found in it; so many of them in memory at a time."""
    chunk: list[Picture] = []
    for picture in pictures:
        chunk.append(picture)
        if len(chunk) == _AT_ONCE:
            yield from _judged(chunk, find)
            chunk = []
    yield from _judged(chunk, find)


def judge(picture: Picture, found: list[FoundFace]) -> Judged:
    """Which faces of one picture were found, by the largest overlaps first."""
    pairs = [
        (overlap(face.box, each.box), j, k) for j, face in enumerate(picture.faces) for k, each in enumerate(found)
    ]
    match: dict[int, int] = {}
    for value, j, k in sorted(pairs, reverse=True):
        if value >= MIN_OVERLAP and j not in match and k not in match.values():
            match[j] = k
    stages = [_stages(face, found[match[j]] if j in match else None) for j, face in enumerate(picture.faces)]
    false = [each for k, each in enumerate(found) if each.score >= MIN_SCORE and k not in match.values()]
    return Judged(picture, found, stages, false)


def tally(results: Sequence[Judged]) -> Tally:
    """The sums over pictures."""
    stages = [stage for each in results for stage in each.stages]
    detected, upright, accepted = (sum(stage > k for stage in stages) for k in range(len(STAGES)))
    return Tally(len(results), len(stages), detected, upright, accepted, sum(len(each.false) for each in results))


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    common = width * height
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def roll_difference(a: float, b: float) -> float:
    """Degrees in [0, 180], the shorter way round."""
    return abs((a - b + 180) % 360 - 180)


def _judged(chunk, find):
    if chunk:
        found = find([picture.rgb for picture in chunk])
        yield from (judge(picture, faces) for picture, faces in zip(chunk, found, strict=True))


def _stages(reference: ReferenceFace, found: FoundFace | None) -> int:
    if found is None:
        return 0
    if reference.roll is not None and roll_difference(reference.roll, found.roll) > MAX_ROLL:
        return 1
    return 2 if found.score < MIN_SCORE else 3
