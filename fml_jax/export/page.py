"""HTML pages that show the faces of a folder of results side by side; they work offline, from the folder.

index.html shows all faces where they fit on one page. Where they do not, it leads to pages/0001.html and so on.
"""

import contextlib
import csv
import html
import itertools
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fml_jax.export.formats import ALL_ENDINGS
from fml_jax.export.result_folder import FaceEntry, PhotoEntry, ResultFolder
from fml_jax.export.viewer.folder import address_of, entry_of, script_path, write_folder_viewer
from fml_jax.export.viewer.page import Entry
from fml_jax.files import DiskFullError, cannot_be_written, complete_or_absent
from fml_jax.pages import page

PICTURES = "pictures"  # folder of the pictures that only the pages show
PAGES = "pages"
FAILURES = "failures.csv"
FACES_PER_PAGE = 100
FAILURES_SHOWN = 100  # on index.html; failures.csv has all
LOW_SCORE = 0.5

# Pictures of a face, and the captions under them.
CAPTIONS = {
    "photo": "photo",
    "landmarks": "68 landmarks",
    "overlay": "face on the photo",
    "geometry": "geometry",
    "reflectance": "reflectance: skin colour without light",
    "shading": "shading: the light on white or grey skin",
}
PICTURE_SIZE = 240
_STYLE = Path(__file__).with_name("page.css")


def picture_paths(folder: Path, stem: str, index: int) -> dict[str, Path]:
    """Where the pages' pictures of a face are, by kind."""
    return {kind: folder / PICTURES / f"{stem}_{index}.{kind}.jpg" for kind in CAPTIONS}


def count_in_words(faces: int, stopped: bool = False) -> str:
    """How many faces there are; `stopped`: before all photos were done."""
    return f"{faces} face{'' if faces == 1 else 's'}{', stopped before the end' if stopped else ''}"


def write_pages(results: ResultFolder, *, note: str = "", stopped: bool = False) -> Path:
    """Writes index.html, the pages that it leads to, the viewer, and failures.csv.

    Args:
      note: stands under the heading.
      stopped: see `count_in_words`.

    Returns:
      index.html's path.

    Raises:
      InputError: a file cannot be written.
    """
    folder = results.path.parent
    _write_failures(results, folder / FAILURES)
    index = _write_index(results, note=note, stopped=stopped)
    # Where a disk became full, small pages may still be written, and the reason has been reported.
    with contextlib.suppress(*[DiskFullError] * stopped):
        write_folder_viewer(folder, _viewer_pages(results))
    return index


def _write_index(results: ResultFolder, *, note: str, stopped: bool) -> Path:
    """Writes the pages of pictures."""
    folder, faces = results.path.parent, results.count_faces()
    heading = count_in_words(faces, stopped)
    failures = _failures(results)
    index = folder / "index.html"
    shutil.rmtree(folder / PAGES, ignore_errors=True)
    if faces <= FACES_PER_PAGE:
        sections = [_section(folder, photo, face, number=1, up="") for photo, face in _faces(results)]
        _write_page(index, heading=heading, note=note, content="\n".join([*sections, failures]))
        return index
    try:
        (folder / PAGES).mkdir()
    except OSError as error:
        raise cannot_be_written(folder / PAGES, error) from None
    links = []
    total = -(-faces // FACES_PER_PAGE)
    for number, pairs in enumerate(_grouped(results), 1):
        path = folder / PAGES / f"{number:04d}.html"
        navigation = _navigation(number, total)
        title = f"{pairs[0][0].shown} – {pairs[-1][0].shown}"
        sections = [_section(folder, photo, face, number=number, up="../") for photo, face in pairs]
        _write_page(
            path, heading=title, note=heading, navigation=navigation, content="\n".join([*sections, navigation])
        )
        links.append(f'<li><a href="{PAGES}/{path.name}">{_text(title)}</a></li>')
    content = f"<section><h2>Pages of {FACES_PER_PAGE} faces</h2><ol>{''.join(links)}</ol></section>\n{failures}"
    _write_page(index, heading=heading, note=note, content=content)
    return index


def _faces(results: ResultFolder) -> Iterator[tuple[PhotoEntry, FaceEntry]]:
    return ((photo, face) for photo in results.with_faces() for face in photo.faces)


def _grouped(results: ResultFolder) -> Iterator[list[tuple[PhotoEntry, FaceEntry]]]:
    """The faces of each page."""
    faces = _faces(results)
    while page_of_faces := list(itertools.islice(faces, FACES_PER_PAGE)):
        yield page_of_faces


def _viewer_pages(results: ResultFolder) -> Iterator[list[Entry]]:
    """The viewer's list, with the same faces on a page as the pages of pictures."""
    return (
        [entry_of(photo.stem, face.index, _title(photo, face)) for photo, face in pairs] for pairs in _grouped(results)
    )


def _title(photo: PhotoEntry, face: FaceEntry) -> str:
    return f"{photo.shown}, face {face.index}"


def _write_page(path: Path, *, heading: str, note: str, content: str, navigation: str = "") -> None:
    text = page(
        title=f"3D faces: {heading}",
        heading=heading,
        note=note,
        style=_STYLE.read_text("utf-8"),
        content=f"{navigation}\n{content}",
    )
    with complete_or_absent(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _navigation(number: int, total: int) -> str:
    links = [("../index.html", "all pages")]
    if number > 1:
        links.append((f"{number - 1:04d}.html", "previous"))
    if number < total:
        links.append((f"{number + 1:04d}.html", "next"))
    texts = [f'<a href="{target}">{text}</a>' for target, text in links]
    return f"<nav>{''.join(texts)}<span>page {number} of {total}</span></nav>"


def _section(folder: Path, photo: PhotoEntry, face: FaceEntry, *, number: int, up: str) -> str:
    """A face with its pictures, on the page of a number; `up` leads from the page to the folder."""
    pictures = picture_paths(Path(), photo.stem, face.index)
    figures = "".join(
        f'<figure><img src="{up}{_link(path)}" alt="{CAPTIONS[kind]}" width="{PICTURE_SIZE}" '
        f'height="{PICTURE_SIZE}" loading="lazy"><figcaption>{CAPTIONS[kind]}</figcaption></figure>'
        for kind, path in pictures.items()
    )
    return f'<section>{_heading(folder, photo, face, number=number, up=up)}<div class="row">{figures}</div></section>'


def _heading(folder: Path, photo: PhotoEntry, face: FaceEntry, *, number: int, up: str) -> str:
    low = ' class="low"' if face.score < LOW_SCORE else ""
    angles = f"yaw {round(face.yaw)}°, pitch {round(face.pitch)}°, roll {round(face.roll)}°"
    names = {ending: f"{photo.stem}_{face.index}{ending}" for ending in ALL_ENDINGS}
    links = [
        f'<a href="{up}{_link(Path(name))}">{_link_text(ending)}</a>'
        for ending, name in names.items()
        if (folder / name).is_file()
    ]
    if script_path(folder, photo.stem, face.index).is_file():
        links.insert(0, f'<a href="{up}{address_of(photo.stem, face.index, number)}">turn in 3D</a>')
    return (
        f"<h2>{_text(_title(photo, face))}"
        f"<span{low}>score {face.score:.2f}</span><span>{angles}</span><span>{' · '.join(links)}</span></h2>"
    )


def _link_text(ending: str) -> str:
    return ending.strip("._").partition(".")[0]  # "npz"; "overlay"


def _failures(results: ResultFolder) -> str:
    photos = results.count_failures()
    rows = [reason for _, reason in _first(results.failures(), FAILURES_SHOWN)]
    if not rows:
        return ""
    lines = "".join(f"<li>{_text(reason)}</li>" for reason in rows)
    title = f"Photos without a face: {photos}" if photos else "Boxes that show no face"
    link = f'<span><a href="{FAILURES}">{FAILURES}</a> has all</span>'
    return f"<section><h2>{title}{link}</h2><ul>{lines}</ul></section>"


def _first(rows: Iterable[Any], count: int) -> Iterator[Any]:
    return (row for row, _ in zip(rows, range(count), strict=False))


def _write_failures(results: ResultFolder, path: Path) -> None:
    with complete_or_absent(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("photo", "reason"))
        writer.writerows(results.failures())


def _link(path: Path) -> str:
    return quote(os.fsencode(path))


def _text(text: str) -> str:
    return html.escape(text)
