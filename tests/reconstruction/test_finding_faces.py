"""Faces of people whom nothing was trained on are found and accepted: turned, dark, in coloured light, masked."""

import itertools
import math

import cv2
import numpy as np
import pytest

from fml_jax.corpus.splits import split_of
from fml_jax.evaluation.detection import by_reconstructor, judged, reconstructed_roll, tally
from fml_jax.evaluation.detection_sets import SETS, HeldOutPhotos
from fml_jax.evaluation.reference_faces import LandmarkCache
from fml_jax.photos.crops import square_crop
from fml_jax.photos.reading import list_photos, read_photo

COUNT, SIZE = 12, 354


@pytest.fixture(scope="module")
def photos(shared):
    paths = [path for path in list_photos(shared / "photos" / "lfw") if split_of(path.parent.name) == "test"]
    return [read_photo(path) for path in paths[7 :: len(paths) // COUNT][:COUNT]]


def with_faces(reconstructor, photos) -> int:
    return len({face.source for face in reconstructor(list(photos))})


def test_turned_faces_get_upright_crops(reconstructor, photos):
    degrees = [30 * k + 17 for k in range(COUNT)]
    middle = (np.array(photos[0].shape[1::-1]) - 1) / 2
    turned = [
        cv2.warpAffine(
            rgb,
            square_crop(middle, SIZE, -math.radians(angle), size=SIZE),
            (SIZE, SIZE),
            borderMode=cv2.BORDER_REPLICATE,
        )
        for rgb, angle in zip(photos, degrees, strict=True)
    ]
    upright, found = reconstructor(photos), reconstructor(turned)
    rolls = [{face.source: reconstructed_roll(face) for face in reversed(faces)} for faces in (upright, found)]
    errors = [
        abs((rolls[1].get(f"photo {k}", 360.0) - rolls[0][f"photo {k}"] - angle + 180) % 360 - 180)
        for k, angle in enumerate(degrees)
        if f"photo {k}" in rolls[0]
    ]
    assert len(errors) >= COUNT - 1 and np.sum(np.array(errors) > 10) <= 1


def test_dark_and_coloured_faces_are_accepted(reconstructor, photos):
    dark = [(0.15 * rgb).astype(np.uint8) for rgb in photos]
    blue = [(rgb * [0.08, 0.15, 1.0]).astype(np.uint8) for rgb in photos]
    swapped = [rgb[..., ::-1] for rgb in photos]
    assert [with_faces(reconstructor, each) >= COUNT - 1 for each in (dark, blue, swapped)] == [True] * 3


def test_faces_with_masks_are_accepted(reconstructor, shared, tmp_path):
    """Photos of people with masks, on which nothing is trained."""
    held_out = HeldOutPhotos(shared / "photos", "test", LandmarkCache(tmp_path / "none.json"))
    pictures = list(itertools.islice(SETS["masked"].make(held_out), COUNT))
    found = tally(list(judged(pictures, by_reconstructor(reconstructor))))
    assert found.pictures == COUNT <= found.faces and found.accepted >= 0.85 * found.faces


def test_three_quarter_faces_are_accepted(reconstructor, shared):
    faces = reconstructor(shared / "photos" / "samples" / "emma.jpg")
    assert len(faces) >= 3  # those that score under 0.5 are dropped


def test_places_without_a_face_are_not(reconstructor, photos):
    """Lower corners of portraits: collars, shoulders, backgrounds, enlarged."""
    corners = [cv2.resize(rgb[190:, :60], (320, 320)) for rgb in photos]
    assert with_faces(reconstructor, corners) == 0
