"""The viewer's page: complete in one file, or with its faces in files beside it that it loads when they are shown."""

import json
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fml_jax.files import complete_or_absent
from fml_jax.pages import page

_FOLDER = Path(__file__).parent
_SCRIPTS = ("data.js", "light.js", "stage.js", "viewer.js")
_THREE = ("THREE-LICENSE.md", "three.min.js")
# A page that is complete can ask for nothing: the browser refuses.
_COMPLETE = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:\">\n"
)


class Entry(NamedTuple):
    """A face in the viewer's list."""

    name: str  # unique, of letters that an address may have; the page's address with #1/NAME shows the face
    title: str
    path: str = ""  # address of its script relative to the page, if that does not contain it


def face_script(name: str, value: Mapping[str, Any]) -> str:
    """`face_data` as a script for the page or for a file beside it."""
    return _call("face", name, value)


def model_script(name: str, value: Mapping[str, Any]) -> str:
    """`model_data` as a script."""
    return _call("model", name, value)


def list_script(number: int, entries: Iterable[Entry]) -> str:
    """One page of the list of faces as a script; pages are counted from 1."""
    return _call("list", number, [entry._asdict() for entry in entries])


def write_page(
    path: Path, scripts: Iterable[str], *, complete: bool, title: str, models_at: str = "", lists_at: str = ""
) -> None:
    """Writes the viewer.

    Args:
      scripts: of lists, models and faces that the page contains.
      complete: whether it contains all; then it asks for no file.
      title: of the window.
      models_at, lists_at: what precedes the addresses of scripts of models (NAME.model.js) and lists (0001.js).

    Raises:
      InputError: the file cannot be written.
    """
    licence, three = (_read(name) for name in _THREE)
    data, *others = (_read(name) for name in _SCRIPTS)
    places = f"fml.modelsAt = {_json(models_at)}; fml.listsAt = {_json(lists_at)};"
    parts = [f"/*\n{licence}*/\n{three}", data, places, *scripts, *others]
    content = string.Template(_read("viewer.html")).substitute(
        scripts="\n".join(f"<script>{part}</script>" for part in parts)
    )
    text = page(
        title=title,
        heading=title,
        note="\N{NO-BREAK SPACE}",
        content=content,
        style=_read("viewer.css"),
        head=_COMPLETE if complete else "",
    )
    with complete_or_absent(path) as partial:
        partial.write_text(text, "utf-8")


def _call(function: str, name: str | int, value: Any) -> str:
    return f"fml.{function}({_json(name)}, {_json(value)});\n"


def _json(value: Any) -> str:
    """A JSON value that neither ends a script element nor holds other letters than ASCII."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _read(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")
