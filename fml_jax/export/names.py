"""Unique names for the results of many photos."""

import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

LONGEST = 200  # bytes of a file name's first part; file systems take 255 for the whole


def stems_of_folder(photos: Sequence[str], taken: Callable[[str, str], bool]) -> Iterator[str]:
    """The first parts of the names of results, for the photos of one folder in order.

    A photo's stem, or its whole name where another photo of the folder has the same stem; a number is added where
    that is taken, too. Upper and lower case count as one, since some file systems do not distinguish them.

    Args:
      photos: file names, all different.
      taken: taken(name, photo) is whether a name belongs already to another photo than this one.
    """
    stems = Counter(_stem(photo).casefold() for photo in photos)
    names = {photo.casefold() for photo in photos}
    used: set[str] = set()
    for photo in photos:
        stem = _stem(photo)
        is_unique = stems[stem.casefold()] == 1 and (stem == photo or stem.casefold() not in names)
        for name in map(_shortened, _candidates(photo, [stem] if is_unique else [])):
            of_another = name.casefold() in names and name.casefold() != photo.casefold()
            if not (of_another or name.casefold() in used or taken(name, photo)):
                used.add(name.casefold())
                yield name
                break


def _candidates(photo: str, first: list[str]) -> Iterator[str]:
    yield from first
    yield photo
    for number in itertools.count(2):
        yield f"{photo}_{number}"


def _stem(photo: str) -> str:
    return os.path.splitext(photo)[0]


def _shortened(name: str) -> str:
    """A name that leaves room for an ending; what is cut off is replaced by a digest of the whole."""
    if len(os.fsencode(name)) <= LONGEST:
        return name
    digest = hashlib.sha1(os.fsencode(name)).hexdigest()[:10]
    start = name
    while len(os.fsencode(start)) > LONGEST - len(digest) - 1:
        start = start[:-1]
    return f"{start}-{digest}"
