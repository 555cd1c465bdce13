"""Boxes that look like faces to a cascade and are none: what a crop's score is there to tell.

A cascade that asks for no agreement between its windows gives many of them a photo. Where landmarks cannot be
found in such a box, and no ordinary detection overlaps it, it is taken to show no face.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from fml_jax.errors import InputError
from fml_jax.photos.crops import crop_from_photo, crop_photo
from fml_jax.photos.detection import (
    FRONTAL,
    PROFILE,
    SECOND_LOOK,
    Detection,
    detect_faces,
    in_photo_of,
    overlap,
    search,
    shrunk,
)
from fml_jax.photos.landmarks import detect_mesh
from fml_jax.photos.reading import read_photo

SMALLEST = 50  # pixels of the shrunk photo
BESIDE = 0.15  # overlap up to which a box shows something else than another one
_EAGER = (FRONTAL._replace(neighbours=0), SECOND_LOOK._replace(neighbours=1), PROFILE._replace(neighbours=1))


def hard_negative_crops(paths: Sequence[Path], count: int, seed: int = 0) -> UInt8[np.ndarray, "S 240 240 3"]:
    """Crops of such boxes in so many of the photos, drawn at random, and their mirror images.

    Raises:
      InputError: there is none in any of them.
    """
    rng, crops = np.random.default_rng(seed), []
    for k in tqdm(rng.permutation(len(paths))[:count], desc="false boxes", unit="photo"):
        try:
            rgb = read_photo(paths[k])
        except InputError as error:
            tqdm.write(f"left out: {error}")
            continue
        crops += [crop_photo(rgb, crop_from_photo(box)) for box in false_boxes(rgb, rng)]
    if not crops:
        raise InputError(
            f"no false box in {min(count, len(paths))} photos; give more, and such as show more than a face"
        )
    return np.concatenate([crops, np.flip(crops, axis=2)])


def false_boxes(rgb: UInt8[np.ndarray, "H W 3"], rng: np.random.Generator, most: int = 3) -> list[tuple[float, ...]]:
    """At most so many such boxes of a photo, (x0, y0, x1, y1) in its pixels, drawn at random."""
    grey = shrunk(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    # Sorted: the cascades' threads finish in any order.
    candidates = sorted(
        in_photo_of(rgb, grey, [face for cascade in _EAGER for face in search(grey, cascade, SMALLEST)])
    )
    taken: list[Detection] = detect_faces(rgb)
    faces = len(taken)
    for k in rng.permutation(len(candidates)):
        candidate = candidates[k]
        if all(overlap(candidate, other) <= BESIDE for other in taken) and detect_mesh(rgb, candidate.box) is None:
            taken.append(candidate)
        if len(taken) == faces + most:
            break
    return [box.box for box in taken[faces:]]
