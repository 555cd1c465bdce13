"""A finished corpus as its readers see it: the card (corpus.json) and the index (examples.csv)."""

import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fml_jax.errors import InputError
from fml_jax.files import checked_path

CARD, INDEX = "corpus.json", "examples.csv"


@dataclass(frozen=True)
class Corpus:
    """A finished corpus."""

    folder: Path
    card: dict[str, Any]
    entries: list[dict[str, Any]]  # the rows of the index

    def shard_paths(self) -> list[Path]:
        """The shards' files, in the order of the index's shard numbers."""
        return [self.folder / "shards" / shard["file"] for shard in self.card["shards"]]


def open_corpus(folder: str | os.PathLike) -> Corpus:
    """The card and index of a finished corpus.

    Raises:
      InputError: the folder holds no finished corpus.
    """
    folder = checked_path(folder)
    try:
        card = json.loads((folder / CARD).read_text("utf-8"))
        with (folder / INDEX).open(newline="", encoding="utf-8") as file:
            return Corpus(folder, card, list(csv.DictReader(file)))
    except (OSError, ValueError, csv.Error):
        raise InputError(
            f"{folder}: no finished training corpus; make one with: fml-prepare --input=PHOTOS --output={folder}"
        ) from None


def check_face_model(path: Path, card: dict[str, Any], name: str) -> None:
    """Checks that a corpus of renders with such a card shows the face model of this name, whatever its version.

    Raises:
      InputError: it shows another, whose codes mean other faces.
    """
    rendered = str(card.get("settings", {}).get("model", name))
    if rendered.rpartition("-")[0] != name.rpartition("-")[0]:
        raise InputError(
            f"{path}: rendered from the face model {rendered}, not {name}; "
            "make a corpus with fml-prepare --layout=synthetic --face_model=FILE"
        )


def is_synthetic(card: dict[str, Any]) -> bool:
    """Whether a corpus holds renders, which have no person and hence no validation split."""
    return all(source.get("layout") == "synthetic" for source in card["sources"])
