"""A finished table and its files: NAME.csv, NAME.json, NAME.png, and index.html over all tables of a folder."""

import csv
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
from jaxtyping import UInt8

from fml_jax.evaluation.figures import write_picture
from fml_jax.evaluation.kept_rows import Row
from fml_jax.evaluation.tables import cell, markdown
from fml_jax.files import complete_or_absent
from fml_jax.pages import page

_KIND = "fml_jax table"  # of JSON files that index.html shows
_STYLE = Path(__file__).with_name("tables.css")


class Part(NamedTuple):
    """A small table of sums over the rows."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def markdown(self) -> str:
        """The caption and the table."""
        table = markdown(self.header, self.rows)
        return f"{self.caption}:\n\n{table}" if self.caption else table


class Table(NamedTuple):
    """What was measured."""

    name: str  # of its files
    title: str
    note: str  # what the numbers mean, in a sentence or two
    parts: Sequence[Part]
    rows: Sequence[Row]  # of each photo or scan; lists within a row are not written to the CSV file
    sheet: UInt8[np.ndarray, "H W 3"] | None = None

    def markdown(self) -> str:
        """All parts, as printed."""
        return "\n\n".join(part.markdown() for part in self.parts)


def write_table(folder: Path, table: Table, settings: Mapping[str, Any]) -> None:
    """Writes the table's files, and index.html anew.

    Args:
      settings: what the table was measured with, for its JSON file and the page.

    Raises:
      InputError: a file cannot be written.
    """
    _write_rows(folder / f"{table.name}.csv", table.rows)
    if table.sheet is not None:
        write_picture(folder / f"{table.name}.png", table.sheet)
    about = {
        "kind": _KIND,
        "name": table.name,
        "title": table.title,
        "note": table.note,
        "settings": {name: str(value) for name, value in settings.items()},
        "parts": [part._asdict() for part in table.parts],
    }
    with complete_or_absent(folder / f"{table.name}.json") as partial:
        partial.write_text(json.dumps(about, indent=1, default=_number), "utf-8")
    write_index(folder)


def write_index(folder: Path) -> Path:
    """Writes index.html over the tables whose JSON files are in the folder, and returns its path."""
    tables = [about for path in sorted(folder.glob("*.json")) if (about := _read(path)) is not None]
    text = page(
        title="Evaluation",
        heading="Evaluation",
        note=", ".join(about["title"] for about in tables),
        style=_STYLE.read_text("utf-8"),
        content="\n".join(_section(folder, about) for about in tables),
    )
    with complete_or_absent(folder / "index.html") as partial:
        partial.write_text(text, "utf-8")
    return folder / "index.html"


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    names = list(
        dict.fromkeys(name for row in rows for name, value in row.items() if not isinstance(value, list | dict))
    )
    with complete_or_absent(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def _read(path: Path) -> dict | None:
    try:
        about = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) and about.get("kind") == _KIND else None


def _section(folder: Path, about: dict) -> str:
    name = about["name"]
    files = [f"{name}{ending}" for ending in (".csv", ".json", ".png") if (folder / f"{name}{ending}").is_file()]
    links = " · ".join(f'<a href="{quote(file)}">{html.escape(file)}</a>' for file in files)
    settings = ", ".join(f"{key} {value}" for key, value in about["settings"].items())
    sheet = f'<a href="{quote(name)}.png"><img src="{quote(name)}.png" alt="figures" loading="lazy"></a>'
    return (
        f"<section><h2>{html.escape(about['title'])}<span>{links}</span></h2><p>{html.escape(about['note'])}</p>"
        f'<p class="settings">{html.escape(settings)}</p>{"".join(map(_part, about["parts"]))}'
        f"{sheet * (f'{name}.png' in files)}</section>"
    )


def _part(part: dict) -> str:
    header = "".join(f"<th>{html.escape(each)}</th>" for each in part["header"])
    rows = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell(value))}</td>' for value in row)}</tr>" for row in part["rows"]
    )
    caption = html.escape(part["caption"])
    return f"<figure><figcaption>{caption}</figcaption><table><tr>{header}</tr>{rows}</table></figure>"


def _number(value):
    return value.tolist()  # NumPy's
