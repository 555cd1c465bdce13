"""Which tracks of a clip show one person, and that person's identity and reflectance."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.codes import FaceCode
from fml_jax.reconstruction.person import NetworkParts, join_crops, likeness
from fml_jax.video.tracking import Sighting, Track

VIEWS = 8  # that a person's identity is joined from: those that were seen best
FEWEST_FRAMES = 5  # shorter tracks are left out: they are mostly no faces
SAME_PERSON = 0.8  # `likeness` of two tracks


@dataclass(eq=False)
class TrackedPerson:
    """The tracks of one person, and their identity and reflectance."""

    tracks: list[Track]
    code: FaceCode  # of one of the views; only identity and reflectance are the person's

    @property
    def sightings(self) -> list[Sighting]:
        """Of all tracks, in the order of the frames."""
        return sorted((each for track in self.tracks for each in track.sightings), key=lambda each: each.frame)


def people_of(network: NetworkParts, tracks: Sequence[Track]) -> list[TrackedPerson]:
    """The people of a clip's tracks, those who are seen longest first.

    A track goes to the person whom it is most like, if that is enough and the person is not elsewhere in the same
    frames; else it is another person. The model of a face is no means to recognise people: who comes back after a gap
    may be taken for somebody new.
    """
    people: list[TrackedPerson] = []
    for track in tracks:
        if len(track.sightings) < FEWEST_FRAMES:
            continue
        code = _joined(network, [track])
        free = [person for person in people if not _meet(person, track)]
        nearest = max(free, key=lambda person: likeness(person.code, code), default=None)
        if nearest is not None and likeness(nearest.code, code) >= SAME_PERSON:
            nearest.tracks.append(track)
            nearest.code = _joined(network, nearest.tracks)
        else:
            people.append(TrackedPerson([track], code))
    return sorted(people, key=lambda person: -sum(len(track.sightings) for track in person.tracks))


def best_views(tracks: Sequence[Track]) -> tuple[Float[np.ndarray, "B"], UInt8[np.ndarray, "B 240 240 3"]]:
    """The crops in which a person was seen best, from different sides, and their uncertainties in pixels."""
    views = sorted((view for track in tracks for view in track.views.values()), key=lambda view: view[0])[:VIEWS]
    return np.array([uncertainty for uncertainty, _ in views]), np.stack([crop for _, crop in views])


def _joined(network: NetworkParts, tracks: Sequence[Track]) -> FaceCode:
    codes = join_crops(network, best_views(tracks)[1])
    return jax.tree.map(lambda part: part[0], codes)


def _meet(person: TrackedPerson, track: Track) -> bool:
    """Whether a track has a frame in common with a person's tracks."""
    frames = {each.frame for each in track.sightings}
    return any(each.frame in frames for each in person.sightings)
