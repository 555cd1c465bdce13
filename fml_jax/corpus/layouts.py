"""Collections of photos by name: their files, people and annotations, where to get them, and under what terms."""

import csv
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fml_jax.corpus.target_face import Box
from fml_jax.errors import InputError, printable
from fml_jax.files import checked_path
from fml_jax.photos.reading import PHOTO_SUFFIXES, list_photos
from fml_jax.photos.videos import VIDEO_SUFFIXES, sampled_frames


class Photo(NamedTuple):
    """A photo, or a frame of a video, that may become an example."""

    name: str  # in its corpus: source/path, followed by #number for a frame; can be printed, whatever the path
    path: str
    source: str
    person: str  # photos of one person belong to one split
    frame: int | None = None
    annotated: Box | None = None  # the target face, photo pixels
    reference68: tuple[tuple[float, float], ...] | None = None  # iBUG's points of the target face, photo pixels


class Source(NamedTuple):
    """One input of a corpus."""

    layout: str
    place: str  # a folder, a pattern, or a file
    weight: float = 1.0  # how often each of its photos is used in training, compared with other sources


@dataclass(frozen=True)
class Layout:
    """How a collection lies on the disk."""

    find: Callable[[Path, float], list[Photo]]  # (place, seconds between frames) → photos, names not yet prefixed
    where: str  # to get it
    terms: str
    off_centre: float | None = None  # default for `Settings.off_centre`


def find_photos(sources: list[Source], seconds: float = 1.0) -> list[Photo]:
    """All photos of the sources, in an order that depends on names alone.

    Args:
      seconds: between the frames taken of videos.

    Raises:
      InputError: a source without photos, or not laid out as its layout is.
    """
    photos = []
    for source, name in zip(sources, source_names(sources), strict=True):
        try:
            found = LAYOUTS[source.layout].find(checked_path(source.place), seconds)
        except OSError as error:
            raise InputError(f"{source.place}: cannot be read ({error.strerror}); check the path") from error
        found.sort(key=lambda photo: (photo.name, photo.frame or 0))
        photos += [photo._replace(name=f"{name}/{photo.name}", source=name) for photo in found]
    return photos


def source_names(sources: list[Source]) -> list[str]:
    """A name for each source: its layout's, numbered from the second of a kind on."""
    layouts = [source.layout for source in sources]
    earlier = [layouts[:k].count(layout) for k, layout in enumerate(layouts)]
    return [layout + (f"-{count + 1}" if count else "") for layout, count in zip(layouts, earlier, strict=True)]


def _folder(place: Path, seconds: float) -> list[Photo]:
    """Photos and videos of a folder, a pattern or one file; the files of one subfolder show one person."""
    videos = _videos(place)
    try:
        photos = list_photos(place) if place.suffix.lower() not in VIDEO_SUFFIXES else []
    except InputError:
        if not videos:
            raise
        photos = []
    root = place if place.is_dir() else Path(os.path.commonpath([path.parent for path in photos + videos]))
    found = [_photo(path, root, path.parent.name) for path in photos]
    for path in videos:
        found += _frames(path, root, path.stem if path.parent == root else path.parent.name, seconds)
    return found


def _list(place: Path, seconds: float) -> list[Photo]:
    """A text file with one photo or video a line, optionally a comma and the person; paths are relative to the file."""
    found = []
    for path, *more in _rows_of(place):
        full = place.parent / path.strip()
        person = more[0].strip() if more else full.parent.name
        if full.suffix.lower() in VIDEO_SUFFIXES:
            found += _frames(full, place.parent, person, seconds)
        else:
            found.append(_photo(full, place.parent, person))
    if not found:
        raise InputError(f"{place}: no photo is listed; give a text file with a path a line")
    return found


def _lfw(place: Path, seconds: float) -> list[Photo]:
    photos = [_photo(path, place, path.parent.name) for path in list_photos(place) if path.parent != place]
    return _not_empty(photos, place, "NAME/NAME_0001.jpg")


def _celeba(place: Path, seconds: float) -> list[Photo]:
    """identity_CelebA.txt has the people; list_bbox_celeba.txt has the target faces of photos that are not aligned."""
    wild, aligned = place / "img_celeba", place / "img_align_celeba"
    pictures = wild if wild.is_dir() else aligned
    people = _table(place, "identity_CelebA.txt")
    boxes = _table(place, "list_bbox_celeba.txt", optional=True) if pictures == wild else {}
    photos = []
    for path in _photos_if_any(pictures):
        if path.name not in people:
            raise InputError(f"{path}: not in identity_CelebA.txt; the photos and the list are of different releases")
        box = None
        if path.name in boxes:
            box = _celeba_box(boxes[path.name], path)
        photos.append(_photo(path, place, people[path.name][0])._replace(annotated=box))
    return _not_empty(photos, place, "img_celeba/000001.jpg (or img_align_celeba/) and Anno/identity_CelebA.txt")


def _celeba_box(numbers: list[str], path: Path) -> Box:
    try:
        x, y, width, height = map(float, numbers)
    except ValueError as error:
        raise InputError(f"{path}: its line of list_bbox_celeba.txt is not four numbers ({error})") from error
    return (x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5)


def _youtube(place: Path, seconds: float) -> list[Photo]:
    """Frames in one folder a person; points68.csv has the path of each, then x and y of iBUG's 68 points.

    Its pixels count from 1: at the eyes, the points are 1.6 px right of and 1.0 px below MediaPipe's (medians over 220
    frames), whatever the size of the face. They are whole multiples of 1 to 5 px.
    """
    photos = []
    for path, *numbers in _rows_of(place / "points68.csv"):
        try:
            points = np.array(numbers, float).reshape(68, 2) - 1
        except ValueError as error:
            raise InputError(f"{place}/points68.csv: {path}: not 68 points ({error})") from error
        photo = _photo(place / path, place, Path(path).parent.name)
        box = (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
        photos.append(photo._replace(annotated=box, reference68=tuple(map(tuple, points.tolist()))))
    return _not_empty(photos, place, "NAME/NAME_00.jpg and points68.csv")


def _300vw(place: Path, seconds: float) -> list[Photo]:
    """The sampled frames of each video that are annotated; the annotated face is the target."""
    photos = []
    for video in sorted(place.glob("*/vid.avi")):
        for photo in _frames(video, place, video.parent.name, seconds):
            points = video.parent / "annot" / f"{(photo.frame or 0) + 1:06d}.pts"
            if points.is_file():
                photos.append(photo._replace(annotated=_box_of_points(points)))
    return _not_empty(photos, place, "001/vid.avi with 001/annot/000001.pts")


def _facewarehouse(place: Path, seconds: float) -> list[Photo]:
    folders = sorted(place.glob("**/Tester_*/TrainingPose"))
    photos = [_photo(path, place, folder.parent.name) for folder in folders for path in _photos_if_any(folder)]
    return _not_empty(photos, place, "Tester_1/TrainingPose/pose_0.png")


LAYOUTS = {
    "folder": Layout(_folder, where="your own", terms="your own"),
    "list": Layout(_list, where="your own", terms="your own"),
    "lfw": Layout(
        _lfw,
        where="Labeled Faces in the Wild, http://vis-www.cs.umass.edu/lfw/",
        terms="published for research on face verification; the photos are news agencies'",
        off_centre=0.2,  # the person whose name the photo has is in the middle; other faces are bystanders
    ),
    "celeba": Layout(
        _celeba,
        where="CelebA, https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        terms="non-commercial research only; photos may not be passed on",
    ),
    "youtube": Layout(
        _youtube,
        where="frames of YouTube Faces, https://github.com/udacity/P1_Facial_Keypoints (with points68.csv)",
        terms="published for research on face recognition; the frames are of YouTube's videos",
    ),
    "300vw": Layout(
        _300vw,
        where="300 Videos in the Wild, https://ibug.doc.ic.ac.uk/resources/300-VW/ (on request)",
        terms="academic use only, after agreeing to its licence",
    ),
    "facewarehouse": Layout(
        _facewarehouse,
        where="FaceWarehouse, http://kunzhou.net/zjugaps/facewarehouse/ (on request)",
        terms="non-commercial research, after signing its agreement",
    ),
}


def _rows_of(path: Path) -> list[list[str]]:
    """The rows of a CSV file without empty ones and comments; bytes that are not UTF-8 become surrogates."""
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = [row for row in csv.reader(file) if row and not row[0].lstrip().startswith("#")]
        if any("\0" in cell for row in rows for cell in row):
            raise ValueError("it holds null characters")
        return rows
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: not a list of photos ({error}); give a text file with a path a line") from error


def _photo(path: Path, root: Path, person: str) -> Photo:
    return Photo(printable(Path(os.path.relpath(path, root)).as_posix()), str(path), "", printable(person))


def _frames(path: Path, root: Path, person: str, seconds: float) -> list[Photo]:
    video = _photo(path, root, person)
    return [video._replace(name=f"{video.name}#{frame:06d}", frame=frame) for frame in sampled_frames(path, seconds)]


def _videos(place: Path) -> list[Path]:
    if place.is_file():
        return [place] if place.suffix.lower() in VIDEO_SUFFIXES else []
    found = place.rglob("*") if place.is_dir() else []
    return sorted(path for path in found if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith("."))


def _photos_if_any(folder: Path) -> list[Path]:
    found = folder.iterdir() if folder.is_dir() else []
    return sorted(path for path in found if path.suffix.lower() in PHOTO_SUFFIXES)


def _not_empty(photos: list[Photo], place: Path, example: str) -> list[Photo]:
    if not photos:
        raise InputError(f"{place}: not laid out as expected; it should hold {example}")
    return photos


def _table(place: Path, name: str, optional: bool = False) -> dict[str, list[str]]:
    """A CelebA list as a dict by photo; headings of such lists name no photo and are left out."""
    path = next((path for path in (place / "Anno" / name, place / name) if path.is_file()), None)
    if path is None:
        if optional:
            return {}
        raise InputError(f"{place}: {name} is missing, here and in Anno/; it comes with CelebA's annotations")
    rows = [line.split() for line in path.read_text("utf-8", "surrogateescape").splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) > 1 and row[0].endswith((".jpg", ".png"))}


def _box_of_points(path: Path) -> Box:
    """The tight box of a .pts file, whose pixels count from 1."""
    try:
        text = path.read_text()
        points = np.array(text[text.index("{") + 1 : text.index("}")].split(), float).reshape(-1, 2) - 1
        return (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
    except ValueError as error:
        raise InputError(f"{path}: not an annotation of points; download it again") from error
