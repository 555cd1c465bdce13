"""Faces through the frames of a clip: each frame is searched where the face was, and all over only when it is lost.

A track follows one face. Its crop stays in place while the face stays near its middle, so that frames can be measured
in batches, and resampling does not add to the face's motion.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.image_formation.rotation import head_angles
from fml_jax.photos.boxes import Detection
from fml_jax.photos.crops import CROP_SIZE, apply_affine, crop_from_photo, crop_photo, invert_affine
from fml_jax.reconstruction.evidence import Measurement
from fml_jax.reconstruction.framing import corner_shift, framed_by

CHUNK = 8  # frames that are measured in one call
MOVED = 30.0  # crop pixels by which a corner may be off the crop about the face before the frame is measured again
AIMED = 12.0  # … before the next chunk gets another crop
MOST_UNCERTAIN = 14.0  # crop pixels, mean over the landmarks; on faces it is 2 to 6
VIEW = 12.0  # degrees
SAME_PLACE = 0.4  # part of the smaller one's width and height by which boxes of one face overlap


class Sighting(NamedTuple):
    """A face in a frame."""

    frame: int
    crop_from_photo: Float[np.ndarray, "2 3"]
    measured: Measurement  # of this crop, without a batch axis


@dataclass(eq=False)
class Track:
    """The sightings of one face in frames that follow each other."""

    crop: Float[np.ndarray, "2 3"]  # where the next frame is looked at
    sightings: list[Sighting] = field(default_factory=list)
    # By yaw and pitch in steps of VIEW degrees: the view that was seen best, as its uncertainty and its crop.
    views: dict[tuple[int, int], tuple[float, UInt8[np.ndarray, "240 240 3"]]] = field(default_factory=dict)

    def add(self, sighting: Sighting, crop: UInt8[np.ndarray, "240 240 3"], angles: Float[np.ndarray, "3"]) -> None:
        """Keeps a sighting, and its crop if it is the best of its view."""
        self.sightings.append(sighting)
        yaw, pitch, _ = np.rint(angles / VIEW).astype(int).tolist()
        uncertainty = float(sighting.measured.uncertainty.mean())
        if uncertainty < self.views.get((yaw, pitch), (np.inf,))[0]:
            self.views[yaw, pitch] = uncertainty, crop


Measure = Callable[[UInt8[np.ndarray, "B 240 240 3"]], Measurement]
Detect = Callable[[UInt8[np.ndarray, "H W 3"]], Sequence[Detection]]


class Tracker:
    """Follows all faces of a clip, chunk by chunk."""

    def __init__(self, measure: Measure, detect: Detect, *, look_every: int, least_score: float) -> None:
        """
        Args:
          measure: of up to CHUNK crops, NumPy arrays.
          detect: finds the faces in a frame.
          look_every: frames after which new faces are looked for although none is lost.
          least_score: a face that scores lower is lost.
        """
        self.tracks: list[Track] = []  # in the order in which they began
        self.looks = 0  # frames that were searched all over
        self._measure, self._detect, self._look_every = measure, detect, look_every
        self._least_score = least_score
        self._active: list[Track] = []
        self._lost, self._next_look = True, 0

    def follow(self, first: int, frames: Sequence[UInt8[np.ndarray, "H W 3"]]) -> None:
        """Follows the faces through up to CHUNK frames, of which `first` is the first one's number."""
        if self._lost or first >= self._next_look:
            self._begin_tracks(frames[0])
            self._next_look = first + self._look_every
        self._lost = not self._active
        for track in list(self._active):
            if not self._follow(track, first, frames):
                self._active.remove(track)
                self._lost = True
        self._separate()

    def _begin_tracks(self, frame: np.ndarray) -> None:
        self.looks += 1
        for found in self._detect(frame):
            crop = crop_from_photo(found.box, found.roll)
            if not any(_same_place(crop, track.crop) for track in self._active):
                self._active.append(Track(crop))

    def _follow(self, track: Track, first: int, frames: Sequence[np.ndarray]) -> bool:
        """Whether the face is there to the end; a track with a sighting is kept."""
        done, aimed = 0, False  # whether the crop was moved for the frame that comes next
        while done < len(frames):
            crops = np.stack([crop_photo(frame, track.crop) for frame in frames[done:]])
            measured = self._measure(crops)
            landmarks = measured.evidence.pixels[:, :68]
            angles = head_angles(measured.codes.rotation)
            better = framed_by(landmarks, measured.codes.rotation, [track.crop] * len(crops))
            for k, crop in enumerate(better):
                one = jax.tree.map(operator.itemgetter(k), measured)
                if is_lost(one, self._least_score):
                    return False
                if corner_shift(track.crop, crop) > MOVED and not aimed:
                    track.crop, aimed = crop, True
                    break
                if not track.sightings:
                    self.tracks.append(track)
                track.add(Sighting(first + done, track.crop, one), crops[k], angles[k])
                done, aimed = done + 1, False
        if corner_shift(track.crop, crop) > AIMED:
            track.crop = crop
        return True

    def _separate(self) -> None:
        """Of tracks that have come upon one face, the one that has followed a face for longer goes on."""
        for track in sorted(self._active, key=lambda track: len(track.sightings)):
            others = [other for other in self._active if other is not track]
            if any(_same_place(track.crop, other.crop) for other in others):
                self._active.remove(track)


def is_lost(measured: Measurement, least_score: float) -> bool:
    """Whether a crop does not show the face that was followed."""
    return bool(measured.scores < least_score or measured.uncertainty.mean() > MOST_UNCERTAIN)


def _same_place(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two crops show one face."""
    (centre, side), (other_centre, other_side) = square_of(one), square_of(other)
    return bool(np.abs(centre - other_centre).max() < SAME_PLACE * min(side, other_side))


def square_of(crop: Float[np.ndarray, "2 3"]) -> tuple[Float[np.ndarray, "2"], float]:
    """Centre and side of a crop, photo pixels."""
    back = invert_affine(crop)
    return apply_affine(back, np.full(2, (CROP_SIZE - 1) / 2)), CROP_SIZE * float(np.hypot(*back[:, 0]))
