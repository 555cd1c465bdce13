"""A corpus as one small file and, read, as arrays: for trainings that keep their data in a GPU's memory.

Windows are compressed again, as WebP at a lower quality than in the shards: a twentieth of the bytes of plain pixels.
Points are 16-bit integers in steps of 1/64 pixel. The file is an npz without pickled objects.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from tqdm import tqdm

from fml_jax.corpus.card import Corpus, is_synthetic, open_corpus
from fml_jax.corpus.face_labels import unknown_labels
from fml_jax.corpus.loader import CorpusRecords
from fml_jax.corpus.records import Example, decode
from fml_jax.errors import InputError
from fml_jax.files import complete_or_absent
from fml_jax.photos.landmarks import EYE_POINTS
from fml_jax.safe_npz import read_npz

QUALITY = 80  # of WebP
HELD_OUT = 200  # examples of the validation split
SUFFIX = ".npz"  # by which a config tells such a file from a corpus's folder
_STEP = 1 / 64  # pixels
_KIND = "packed corpus"


class PackedCorpus(NamedTuple):
    """Examples as arrays; the leading axis n is that of the examples, of which the first ones are for training."""

    windows: UInt8[np.ndarray, "n S S 3"]  # RGB
    valid: Bool[np.ndarray, "n S S"]  # see `records.Example`
    crop: Float[np.ndarray, "n 2 3"]  # window pixels to the detector's crop
    landmarks: Float[np.ndarray, "n 68 2"]  # window pixels
    confidence: Float[np.ndarray, "n 68"]  # 0 for landmarks outside the window
    eyes: Float[np.ndarray, "n 14 2"]  # `EYE_POINTS`, window pixels
    person: Int[np.ndarray, "n"]  # numbers from 0, ascending: a person's examples are neighbours
    code: Float[np.ndarray, "n K"]  # flat codes of renders; K = 0 for photos
    labels: UInt8[np.ndarray, "n 120 120"]  # see `face_labels`
    training: int  # how many of the examples are for training; the others are held out
    card: dict[str, Any]  # of the corpora: their sources, and a checksum


def pack_corpora(
    folders: Sequence[str | os.PathLike], path: str | os.PathLike, *, quality: int = QUALITY, held_out: int = HELD_OUT
) -> int:
    """Writes corpora as one file, without their test splits, with a progress bar; the file is complete or absent.

    Args:
      folders: what `build_corpus` or `build_synthetic` made; all of photos, or all of renders.
      quality: of WebP, 1 to 100.
      held_out: how many examples of the validation split to take at most.

    Returns:
      the number of examples.

    Raises:
      InputError: no finished corpus, a damaged one, no example to train on, or corpora of both kinds.
    """
    corpora = [open_corpus(folder) for folder in folders]
    if len({is_synthetic(corpus.card) for corpus in corpora}) > 1:
        raise InputError(f"{', '.join(map(str, folders))}: photos and renders; pack each kind in a file of its own")
    card = _joined_card([corpus.card for corpus in corpora])
    found = [example for corpus in corpora for example in _records(corpus, "train")]
    if not found:
        raise InputError(f"{folders[0]}: the train split is empty; give photos of more people")
    found.sort(key=lambda pair: pair[0])
    training = len(found)
    found += [example for corpus in corpora for example in _held_out(corpus, -(-held_out // len(corpora)))]
    people = {name: number for number, name in enumerate(dict.fromkeys(person for person, _ in found))}
    rows = [_packed(decode(record), quality) for _, record in tqdm(found, desc="pack", unit="face")]
    arrays: dict[str, Any] = {name: np.stack([row[name] for row in rows]) for name in rows[0] if name != "picture"}
    arrays["person"] = np.array([people[person] for person, _ in found], np.int32)
    arrays["training"] = np.array(training)
    arrays["pictures"] = np.concatenate([row["picture"] for row in rows])
    arrays["lengths"] = np.array([len(row["picture"]) for row in rows], np.int64)
    arrays["card"] = np.array(json.dumps(card))
    with complete_or_absent(Path(path)) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, **arrays)
    return len(rows)


def packed_card(path: str | Path) -> dict[str, Any]:
    """The card of a packed corpus: its sources, and a checksum.

    Raises:
      InputError: the file is missing or damaged.
    """
    stored = read_npz(path, _KIND, ["card"])
    try:
        return json.loads(str(stored["card"]))
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: not a {_KIND} ({error}); pack the corpus again") from error


def load_packed(path: str | Path) -> PackedCorpus:
    """Reads what `pack_corpora` wrote.

    Raises:
      InputError: the file is missing or damaged.
    """
    stored = read_npz(path, _KIND)
    try:
        ends = np.cumsum(stored["lengths"])
        with ThreadPoolExecutor() as pool:
            windows = list(pool.map(_picture, np.split(stored["pictures"], ends[:-1])))
        size = windows[0].shape[0]
        valid = np.unpackbits(stored["valid"], axis=1, count=size * size).reshape(-1, size, size).astype(bool)
        return PackedCorpus(
            windows=np.stack(windows),
            valid=valid,
            crop=stored["crop"],
            landmarks=_STEP * stored["landmarks"].astype(np.float32),
            confidence=stored["confidence"] / np.float32(255),
            eyes=_STEP * stored["eyes"].astype(np.float32),
            person=stored["person"],
            code=stored["code"],
            labels=stored["labels"],
            training=int(stored["training"]),
            card=json.loads(str(stored["card"])),
        )
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not a {_KIND} ({error}); pack the corpus again") from error


def _records(corpus: Corpus, split: str) -> Iterator[tuple[str, bytes]]:
    """The person and the record of each example of a split."""
    entries = [entry for entry in corpus.entries if entry["split"] in (split, "all")]
    records = CorpusRecords(corpus, entries)
    return ((entry["person"], records[k]) for k, entry in enumerate(entries))


def _held_out(corpus: Corpus, most: int) -> Iterator[tuple[str, bytes]]:
    return iter(()) if is_synthetic(corpus.card) else itertools.islice(_records(corpus, "validation"), most)


def _joined_card(cards: list[dict[str, Any]]) -> dict[str, Any]:
    digest = hashlib.sha256("".join(card["sha256"] for card in cards).encode()).hexdigest()
    joined = {"sources": [source for card in cards for source in card["sources"]], "sha256": digest}
    models = {card["settings"]["model"] for card in cards if "model" in card.get("settings", {})}
    if len(models) > 1:
        raise InputError(f"renders of different face models, {' and '.join(sorted(models))}; pack each in its own file")
    return joined | ({"settings": {"model": models.pop()}} if models else {})


def _packed(example: Example, quality: int) -> dict[str, np.ndarray]:
    bgr = cv2.cvtColor(example.window, cv2.COLOR_RGB2BGR)
    points = example.landmarks68
    inside = ((points >= -0.5) & (points <= len(example.window) - 0.5)).all(axis=1)
    return {
        "picture": cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].ravel(),
        "valid": np.packbits(example.valid),
        "crop": example.crop.astype(np.float32),
        "landmarks": _in_steps(points),
        "confidence": np.rint(255 * np.where(inside, example.confidence, 0)).astype(np.uint8),
        "eyes": _in_steps(example.landmarks478[EYE_POINTS, :2]),
        "code": np.zeros(0, np.float32) if example.code is None else example.code.astype(np.float32),
        "labels": unknown_labels() if example.labels is None else example.labels,
    }


def _in_steps(points: Float[np.ndarray, "n 2"]) -> Int[np.ndarray, "n 2"]:
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(points / _STEP), limits.min, limits.max).astype(np.int16)


def _picture(compressed: UInt8[np.ndarray, "bytes"]) -> UInt8[np.ndarray, "S S 3"]:
    bgr = cv2.imdecode(compressed, cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("a window is no picture")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
