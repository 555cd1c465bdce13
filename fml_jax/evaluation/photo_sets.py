"""The photos that tables measure: people whom no training saw, by their folders' names or, in UTKFace, by themselves.

UTKFace's files are named age_sex_group_…; such photos are of nobody in particular, and a part of them is held out.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from fml_jax.corpus.splits import Split, split_of
from fml_jax.errors import InputError
from fml_jax.photos.reading import list_photos, read_photo

GROUPS = ("White", "Black", "Asian", "Indian", "others")  # UTKFace's, by its numbers
PADDING = 0.3  # UTKFace's photos, which faces fill, are padded by this part of a side

_DESCRIBED = re.compile(r"(\d{1,3})_[01]_([0-4])_")


class Described(NamedTuple):
    """What the name of a file of UTKFace says."""

    age: int
    group: str


def described(path: Path) -> Described | None:
    """The age and the group of a photo whose name is like UTKFace's; None of others."""
    found = _DESCRIBED.match(path.name)
    return None if found is None else Described(int(found[1]), GROUPS[int(found[2])])


def split_of_photo(path: Path) -> Split:
    """The split of a photo whose person is not named, by its file's name: a fifth is for validation, a half for test.

    Small collections that are used for nothing but measuring need larger held-out parts than `split_of` gives.
    """
    part = int(hashlib.sha1(path.stem.encode()).hexdigest(), 16) % 10
    return "validation" if part < 2 else "test" if part < 7 else "train"


def photos_to_measure(photos: str, split: str) -> list[Path]:
    """The photos of people of a split, in order; of files that are named as UTKFace's, those of the split, mixed.

    Raises:
      InputError: there are none.
    """
    paths = list_photos(photos)
    if any(described(path) for path in paths):
        named = [path for path in paths if described(path) and split_of_photo(path) == split]
        if not named:
            raise InputError(f"--photos={photos}: no photo falls into the {split} split; give a larger folder")
        return sorted(named, key=lambda path: hashlib.sha1(path.name.encode()).digest())
    return _of_split(photos, paths, split)


def held_out_photos(photos: str, split: str) -> list[Path]:
    """The photos of people of a split, in order.

    Raises:
      InputError: there are none.
    """
    return _of_split(photos, list_photos(photos), split)


def with_company(paths: Sequence[Path]) -> list[Path]:
    """The photos whose person has another one among them."""
    counts = Counter(path.parent.name for path in paths)
    return [path for path in paths if counts[path.parent.name] > 1]


def read_with_surroundings(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """A photo; one that a face fills, as UTKFace's do, is padded.

    Raises:
      InputError: it cannot be read.
    """
    rgb = read_photo(path)
    return rgb if described(path) is None else padded(rgb)[0]


def padded(rgb: UInt8[np.ndarray, "H W 3"]) -> tuple[UInt8[np.ndarray, "_ _ 3"], int]:
    """A photo with its border repeated by `PADDING` of its longer side, and how many pixels that is."""
    pad = round(PADDING * max(rgb.shape[:2]))
    return cv2.copyMakeBorder(rgb, pad, pad, pad, pad, cv2.BORDER_REPLICATE), pad


def _of_split(photos: str, paths: Sequence[Path], split: str) -> list[Path]:
    found = [path for path in paths if split_of(path.parent.name) == split]
    if not found:
        raise InputError(
            f"--photos={photos}: no folder's name falls into the {split} split (one person in sixteen); "
            "photos lie in one folder a person"
        )
    return found
