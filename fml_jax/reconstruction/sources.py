"""The photos and boxes of a call: their names and pixels, checked."""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from fml_jax.errors import InputError
from fml_jax.photos.reading import as_rgb, read_photo

Box = tuple[float, float, float, float]  # x0, y0, x1, y1, photo pixels

# The longest side of a box, relative to the photo's longer side.
_LARGEST_BOX = 10.0


class Names:
    """Names for the photos of one call, no two alike: the stems of their results' files.

    A photo is named after its stem. If that is taken, a photo of the same folder keeps its extension, one of another
    folder is preceded by its folder's name; the last resort is a number. Upper and lower case count as alike.
    """

    def __init__(self) -> None:
        self._owners: dict[str, Path] = {}

    def of_path(self, path: str | os.PathLike) -> str:
        """A name for a photo file."""
        path = Path(path)
        owner = self._owners.get(path.stem.casefold())
        longer = path.name if owner and owner.parent == path.parent else f"{path.parent.name}_{path.stem}"
        return self._first_free(path.stem, longer, path)

    def of_array(self, rgb: UInt8[np.ndarray, "H W 3"], number: int) -> str:
        """A name for a picture in memory. It depends on the pixels, so that pictures of other calls get other names."""
        digest = hashlib.blake2b(np.ascontiguousarray(rgb).data, digest_size=4).hexdigest()
        name = f"photo_{number}_{digest}"
        return self._first_free(name, name, Path(name))

    def _first_free(self, short: str, longer: str, owner: Path) -> str:
        name, count = short, 1
        while name.casefold() in self._owners:
            name, count = (longer, 2) if name == short != longer else (f"{longer}_{count + 1}", count + 1)
        self._owners[name.casefold()] = owner
        return name


def as_list(photos: Any) -> tuple[list, bool]:
    """The photos of a call as a list, and whether a single one was given.

    Raises:
      InputError: a folder, or an empty path.
    """
    if isinstance(photos, list | tuple):
        return list(photos), False
    if _is_path(photos) and Path(photos).is_dir():
        if not os.fspath(photos):
            raise InputError("the path of the photo is empty; give a path, an array, or a list of these")
        raise InputError(f"{photos}: a folder; give a list of its photos, or run fml-reconstruct --input={photos}")
    return [photos], True


def source_of(photo: Any, number: int) -> str:
    """What messages call a photo: its path, or `photo N` for a picture in memory."""
    return os.fspath(photo) if _is_path(photo) else f"photo {number}"


def read_source(photo: Any, source: str) -> UInt8[np.ndarray, "H W 3"]:
    """The pixels of a path or of a picture in memory.

    Raises:
      InputError: the photo cannot be read, or the object is not a picture.
    """
    if photo is None:
        raise InputError(f"{source} is None; give a path, an array, or a list of these")
    if not _is_path(photo):
        try:
            return as_rgb(photo, source)
        except InputError:
            raise
        except (ValueError, TypeError):  # nested lists of different lengths
            raise InputError(f"{source}: a {type(photo).__name__} is no picture; give a path or an array") from None
    if re.match(r"[a-zA-Z][\w+.-]*://", source):
        raise InputError(f"{source}: a web address; download the photo and give the path of the file")
    return read_photo(photo)


def checked_boxes(boxes: Any, rgb: UInt8[np.ndarray, "H W 3"], source: str) -> list[Box]:
    """The boxes given for one photo.

    Raises:
      InputError: there is none, or one is no box, or frames nothing of the photo.
    """
    if isinstance(boxes, str) or not isinstance(boxes, Sequence | np.ndarray):
        raise InputError(f"{source}: boxes={boxes!r} is no list; give a list of boxes x0, y0, x1, y1, or None")
    if not len(boxes):
        raise InputError(f"{source}: the list of boxes is empty; give at least one box, or None to have faces detected")
    return [_checked(box, rgb, source) for box in boxes]


def _checked(box: Any, rgb: np.ndarray, source: str) -> Box:
    try:
        numbers = np.asarray(box, np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (4,) or not np.isfinite(numbers).all() or not (numbers[2:] > numbers[:2]).all():
        raise InputError(f"{source}: {box} is no box; give a list of x0, y0, x1, y1 in pixels with x0 < x1 and y0 < y1")
    height, width = rgb.shape[:2]
    if not ((numbers[:2] < [width, height]).all() and (numbers[2:] > 0).all()):
        raise InputError(f"{source}: the box {box} lies outside the photo of {width}×{height} pixels")
    sides = numbers[2:] - numbers[:2]
    if not ((sides >= 1).all() and (sides <= _LARGEST_BOX * max(width, height)).all()):
        raise InputError(f"{source}: the box {box} is no face's size in a photo of {width}×{height} pixels")
    x0, y0, x1, y1 = numbers.tolist()
    return x0, y0, x1, y1


def _is_path(photo: Any) -> bool:
    return isinstance(photo, str | os.PathLike)
