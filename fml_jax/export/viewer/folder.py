"""The viewer of a folder of results: one page, and a script for each face beside it.

Few faces are in the page itself, so that it can be sent to others as one file. More are loaded from their scripts when
they are shown, so that a page of many thousands opens as quickly.
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from fml_jax.errors import InputError
from fml_jax.export.viewer.page import Entry, list_script, write_page
from fml_jax.files import complete_or_absent

VIEWER = "viewer.html"
SCRIPTS = "viewer"  # folder of the faces' scripts
CONTAINED = 8  # faces that the page itself contains, at most

_LIST = "list_"
_MODEL = re.compile(r'"model":"([^"]+)"')


def script_path(folder: Path, stem: str, index: int) -> Path:
    """Where a face's script is."""
    return folder / SCRIPTS / f"{stem}_{index}.js"


def entry_of(stem: str, index: int, title: str) -> Entry:
    """A face in the viewer's list; its name is a part of an address."""
    name = quote(os.fsencode(f"{stem}_{index}"))
    return Entry(name, title, f"{SCRIPTS}/{name}.js")


def address_of(stem: str, index: int, page: int) -> str:
    """The address, relative to the folder, at which the viewer shows a face of a page of its list."""
    return f"{VIEWER}#{page}/{entry_of(stem, index, '').name}"


def write_folder_viewer(folder: Path, pages: Iterable[Sequence[Entry]]) -> Path | None:
    """Writes the viewer's page and its lists.

    Args:
      pages: the lists' pages, each of some faces; those without a script are left out.

    Returns:
      the page's path; None if there is no face, in which case no page remains.

    Raises:
      InputError: a file cannot be written or read.
    """
    path = folder / VIEWER
    for old in (folder / SCRIPTS).glob(f"{_LIST}*.js"):
        old.unlink(missing_ok=True)
    faces, contained = 0, list[str]()
    for number, entries in enumerate(pages, 1):
        there = [entry for entry in entries if _script_of(folder, entry).is_file()]
        faces += len(there)
        if there:
            script = list_script(number, there)
            write_script(folder / SCRIPTS / f"{_LIST}{number:04d}.js", script)
            contained = [script, *_contained_scripts(folder, there)] if faces <= CONTAINED else []
    if not faces:
        path.unlink(missing_ok=True)
        return None
    write_page(
        path,
        contained,
        complete=bool(contained),
        title="1 face" if faces == 1 else f"{faces} faces",
        models_at=f"{SCRIPTS}/",
        lists_at=f"{SCRIPTS}/{_LIST}",
    )
    return path


def _script_of(folder: Path, entry: Entry) -> Path:
    return folder / os.fsdecode(unquote_to_bytes(entry.path))


def _contained_scripts(folder: Path, entries: Sequence[Entry]) -> list[str]:
    faces = [_read(_script_of(folder, entry)) for entry in entries]
    return [_read(model_path(folder, key)) for key in sorted({_model_of(face) for face in faces})] + faces


def _model_of(script: str) -> str:
    match = _MODEL.search(script)
    return match[1] if match else ""


def model_path(folder: Path, key: str) -> Path:
    """Where the script of a face model is that `model_key` names."""
    return folder / SCRIPTS / f"{key}.model.js"


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); run the same command with --redo") from None


def write_script(path: Path, script: str) -> None:
    """Writes a script of the viewer, complete or absent.

    Raises:
      InputError: it cannot be written.
    """
    with complete_or_absent(path) as partial:
        partial.write_text(script, "utf-8")
