"""Names for the results of many photos: never the same for two of them."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence

LONGEST = 200  # bytes of a file name's first part; file systems take 255 for the whole


def stems_of_folder(photos: Sequence[str], taken: Callable[[str], bool]) -> list[str]:
    """The first parts of the names of results, for the photos of one folder.

    A photo's stem, or its whole name where another photo of the folder has the same stem. Upper and lower case count
    as one, since some file systems do not tell them apart.

    Args:
      photos: file names, all different.
      taken: whether a name belongs to a photo that is not among these.
    """
    stems = [os.path.splitext(photo)[0] for photo in photos]
    count = Counter(stem.casefold() for stem in stems)
    names = {photo.casefold() for photo in photos}
    found, used = [], set()
    for photo, stem in zip(photos, stems, strict=True):
        is_unique = count[stem.casefold()] == 1 and stem.casefold() not in names
        candidates = ([stem] if is_unique else []) + [photo]
        name = next((each for each in map(_shortened, candidates) if not _used(each, used, taken)), None)
        number = 2
        while name is None:
            numbered = _shortened(f"{photo}_{number}")
            name = None if _used(numbered, used, taken) or numbered.casefold() in names else numbered
            number += 1
        used.add(name.casefold())
        found.append(name)
    return found


def _used(name: str, used: set[str], taken: Callable[[str], bool]) -> bool:
    return name.casefold() in used or taken(name)


def _shortened(name: str) -> str:
    """A name that leaves room for an ending; what is cut off is replaced by a digest of the whole."""
    if len(os.fsencode(name)) <= LONGEST:
        return name
    digest = hashlib.sha1(os.fsencode(name)).hexdigest()[:10]
    start = name
    while len(os.fsencode(start)) > LONGEST - len(digest) - 1:
        start = start[:-1]
    return f"{start}-{digest}"
