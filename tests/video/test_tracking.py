"""Following faces: where it looks, when it searches all over, and whom it keeps apart; with a stub of the network."""

import numpy as np
import pytest

from fml_jax.codes import CodeSizes, neutral_code
from fml_jax.fitting.shared_identity import PointEvidence
from fml_jax.photos.boxes import Detection
from fml_jax.reconstruction.evidence import Measurement
from fml_jax.video.tracking import CHUNK, Tracker, square_of

HEIGHT, WIDTH, SIDE = 200, 400, 60.0


class Scene:
    """Faces are bright squares; a crop shows one if its middle is bright, and then tells where it is."""

    def __init__(self, paths):
        self.paths = paths  # for each face: frame → its centre, or None
        self.looked = 0

    def frame(self, number):
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for path in self.paths:
            centre = path(number)
            if centre is not None:
                x, y = (int(round(part)) for part in centre)
                picture[max(y - 30, 0) : y + 30, max(x - 30, 0) : x + 30] = 255
        return picture

    def detect(self, picture):
        self.looked += 1
        columns = picture[:, :, 0].max(axis=0) > 0
        edges = np.flatnonzero(np.diff(np.concatenate([[0], columns.astype(int), [0]])))
        found = []
        for left, right in edges.reshape(-1, 2):
            rows = np.flatnonzero(picture[:, left:right, 0].max(axis=1))
            x, y = (left + right - 1) / 2, rows.mean()
            found.append(Detection((x - SIDE / 2, y - SIDE / 2, x + SIDE / 2, y + SIDE / 2), 0.9))
        return found

    def measure(self, crops):
        middles, sides = np.full((len(crops), 2), np.nan), np.ones(len(crops))
        for k, crop in enumerate(crops):
            rows, columns = np.nonzero(crop[:, :, 0] > 128)
            if len(rows) > 2000:
                middles[k], sides[k] = (columns.mean(), rows.mean()), np.sqrt(len(rows))
        seen = ~np.isnan(middles[:, 0])
        around = np.array([[np.cos(a), np.sin(a)] for a in np.linspace(0, 6, 80)])
        pixels = np.nan_to_num(middles)[:, None] + 0.42 * sides[:, None, None] * around  # landmarks, as boxes have them
        codes = neutral_code(CodeSizes(2, 2, 2))
        codes = type(codes)(**{name: np.stack([np.asarray(part)] * len(crops)) for name, part in vars(codes).items()})
        evidence = PointEvidence(
            pixels, np.zeros((len(crops), 80, 2, 2)), np.zeros((len(crops), 39)), np.zeros((len(crops), 10))
        )
        return Measurement(codes, np.where(seen, 0.9, 0.1), evidence, np.full((len(crops), 68), 3.0))


def follow(paths, frames, look_every=1000):
    scene = Scene(paths)
    tracker = Tracker(scene.measure, scene.detect, look_every=look_every, least_score=0.5)
    for first in range(0, frames, CHUNK):
        tracker.follow(first, [scene.frame(number) for number in range(first, min(first + CHUNK, frames))])
    return tracker


def numbers(track):
    return [sighting.frame for sighting in track.sightings]


def test_a_face_that_moves_is_followed_and_searched_once():
    path = lambda t: (60 + 4.0 * t, 100)  # noqa: E731
    tracker = follow([path], 50)
    assert tracker.looks == 1 and [numbers(track) for track in tracker.tracks] == [list(range(50))]
    for sighting in tracker.tracks[0].sightings[::10]:
        centre, _ = square_of(sighting.crop_from_photo)
        assert abs(centre[0] - path(sighting.frame)[0]) < 30


def test_a_face_that_stands_still_keeps_its_crop():
    track = follow([lambda t: (100, 100)], 40).tracks[0]
    assert len({sighting.crop_from_photo.tobytes() for sighting in track.sightings[1:]}) == 1


def test_a_lost_face_is_searched_for_and_is_a_track_of_its_own_when_it_is_back():
    tracker = follow([lambda t: (100, 100) if not 10 <= t < 24 else None], 48)
    assert [numbers(track) for track in tracker.tracks] == [list(range(10)), list(range(24, 48))]
    assert tracker.looks > 2


def test_a_jump_as_at_a_cut_is_found_again():
    tracker = follow([lambda t: (60, 100) if t < 16 else (340, 100)], 40)
    assert [numbers(track) for track in tracker.tracks] == [list(range(16)), list(range(24, 40))] or [
        numbers(track) for track in tracker.tracks
    ] == [list(range(16)), list(range(16, 40))]


def test_two_faces_are_two_tracks():
    tracker = follow([lambda t: (60 + t, 100), lambda t: (300 - t, 100)], 40)
    assert [numbers(track) for track in tracker.tracks] == [list(range(40))] * 2
    first, second = (square_of(track.sightings[-1].crop_from_photo)[0][0] for track in tracker.tracks)
    assert abs(abs(first - second) - 162) < 40


def test_who_comes_later_is_found_by_the_regular_look():
    paths = [lambda t: (60, 100), lambda t: (300, 100) if t >= 20 else None]
    assert len(follow(paths, 48).tracks) == 1
    late = follow(paths, 48, look_every=16).tracks
    assert [numbers(track)[0] for track in late] == [0, 32]


def test_nothing_is_no_track():
    assert follow([], 20).tracks == []


@pytest.mark.parametrize("shift", [0.0, 10.0])
def test_a_detection_on_a_followed_face_begins_no_second_track(shift):
    tracker = follow([lambda t: (100 + shift * (t > 20), 100)], 48, look_every=8)
    assert len(tracker.tracks) == 1 and tracker.looks == 6
