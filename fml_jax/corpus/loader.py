"""Training batches of a corpus, read with Grain.

Grain's map datasets are sequences: element k of a shuffled, repeated and mixed dataset depends on k alone. A batch is
therefore a function of seed and step, and a run that resumes at a step needs no iterator state. This also holds for a
run that resumes on another number of machines, where a saved iterator could not be restored.
"""

import os
from collections.abc import Sequence
from typing import Any

import grain
import numpy as np

from fml_jax.corpus.augmentation import Sample, random_face, random_negative
from fml_jax.corpus.camera_augmentation import Render, random_camera_change
from fml_jax.corpus.card import Corpus, open_corpus
from fml_jax.corpus.face_labels import unknown_labels
from fml_jax.corpus.records import Example, decode, unreadable_shard
from fml_jax.errors import InputError
from fml_jax.photos.crops import CROP_SIZE
from fml_jax.photos.landmarks import EYE_POINTS

Row = dict[str, Any]  # arrays and numbers of one example, or of a batch

SPLITS = ("train", "validation", "test", "all")


class CorpusRecords:
    """Some of a corpus's records by number: a random-access source for Grain."""

    def __init__(self, corpus: Corpus, entries: Sequence[dict]) -> None:
        """Opens the records of some rows of the corpus's index.

        Raises:
          InputError: a shard is missing or damaged.
        """
        self._paths = corpus.shard_paths()
        counts = [shard["records"] for shard in corpus.card["shards"]]
        for path in self._paths:
            if not path.is_file():
                raise unreadable_shard(path, FileNotFoundError("it is missing"))
        begins = np.concatenate([[0], np.cumsum(counts)])
        shards = np.array([int(entry["shard"]) for entry in entries])
        self._shards, self._places = shards, begins[shards] + [int(entry["row"]) for entry in entries]
        try:
            self._records = grain.sources.ArrayRecordDataSource([str(path) for path in self._paths])
        except RuntimeError as error:
            raise InputError(
                f"{corpus.folder}: a shard cannot be read ({error}); run the same prepare command in another folder"
            ) from error
        if len(self._records) != begins[-1]:
            raise InputError(f"{corpus.folder}: shards and card disagree; make the corpus again")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, k: int) -> bytes:
        try:
            return self._records[int(self._places[k])]
        except RuntimeError as error:
            raise unreadable_shard(self._paths[self._shards[k]], error) from error


class CorpusBatches:
    """An endless sequence of training batches; each is a function of the seed and its step alone.

    A batch is a dict of arrays, B rows first:
      crop       uint8   [B, 240, 240, 3]
      mask       uint8   [B, 240, 240]     1 = a pixel of the photo itself
      landmarks  float32 [B, 68, 2]        crop pixels
      confidence float32 [B, 68]           of each landmark; 0 outside the photo
      eyes       float32 [B, 14, 2]        MediaPipe's `EYE_POINTS`, crop pixels; void for renders
      is_face    float32 [B]               0 = a negative crop, whose other targets have no meaning
      code       float32 [B, K]            a render's flat code; K = 0 for photos, which have no true code
      has_code   float32 [B]               1 = a render
    on request, of renders that have them stored:
      vertices, reflectance  float32 [B, N, 3]  see `records.Truth`
    on request, of photos:
      reference     float32 [B, 68, 2]  the collection's own landmarks, crop pixels
      has_reference float32 [B]         0 = none are stored, and `reference` is void
    on request:
      labels        uint8 [B, 120, 120] which pixels show the face, see `face_labels`; UNKNOWN where none are stored
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        split: str,
        batch_size: int,
        *,
        seed: int = 0,
        jitter: float = 1.0,
        mirror: float = 0.5,
        negatives: float = 0.15,
        truth: bool = False,
        reference: bool = False,
        labels: bool = False,
    ) -> None:
        """Opens a corpus. A source's share of the batches is its number of examples times its weight.

        Args:
          folder: what `build_corpus` or `build_synthetic` made.
          split: one of SPLITS.
          batch_size: number of rows.
          seed: any whole number from 0.
          jitter: scales the random changes of framing and colours; 0 leaves the detector's crops and renders unchanged.
          mirror: probability of a mirrored crop of a photo.
          negatives: probability that a photo gives a negative crop.
          truth: also give the true vertices and reflectance of renders that have them stored.
          reference: also give the collection's own landmarks of photos that have them.
          labels: also give the label maps.

        Raises:
          InputError: no finished corpus, a damaged one, or no example in the split.
        """
        corpus = open_corpus(folder)
        chosen = [entry for entry in corpus.entries if split in (entry["split"], "all")]
        if not chosen:
            raise InputError(f"{folder}: the {split} split is empty; give photos of more people")
        self._size, self._batch_size, self._seed = len(chosen), batch_size, seed
        self._jitter, self._mirror, self._negatives, self._truth = jitter, mirror, negatives, truth
        self._reference, self._labels = reference, labels
        self._records = _endless(corpus, chosen, seed)

    def __len__(self) -> int:
        """The number of examples in the split."""
        return self._size

    def batch(self, step: int) -> Row:
        """The batch of a step."""
        places = range(step * self._batch_size, (step + 1) * self._batch_size)
        rows = [self._columns(decode(self._records[k]), np.random.default_rng([self._seed, 1, k])) for k in places]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def _columns(self, example: Example, rng: np.random.Generator) -> Row:
        row = self._row(example, rng)
        if not self._labels:
            row.pop("labels", None)
        elif "labels" not in row:
            row["labels"] = unknown_labels()
        return row

    def _row(self, example: Example, rng: np.random.Generator) -> Row:
        if example.code is not None:
            truth = example.truth._asdict() if self._truth and example.truth else {}
            return _render_row(example, example.code, rng if self._jitter else None) | truth
        is_face = rng.random() >= self._negatives
        if is_face:
            sample = random_face(example, rng, self._jitter, mirror=self._mirror)
        else:
            sample = random_negative(example, rng)
        row = _photo_row(sample, is_face)
        return row | _reference_columns(sample) if self._reference else row


def _endless(corpus: Corpus, entries: list[dict], seed: int) -> grain.MapDataset:
    """An endless sequence of records: every source is shuffled anew in each epoch; sources are mixed by weight."""
    sources = [
        source for source in corpus.card["sources"] if any(entry["source"] == source["name"] for entry in entries)
    ]
    parts, weights = [], []
    for k, source in enumerate(sources):
        own = [entry for entry in entries if entry["source"] == source["name"]]
        dataset = grain.MapDataset.source(CorpusRecords(corpus, own))
        parts.append(dataset.seed(int(np.random.SeedSequence([seed, k]).generate_state(1)[0])).shuffle())
        weights.append(source["weight"] * len(own))
    mixed = parts[0] if len(parts) == 1 else grain.MapDataset.mix([part.repeat() for part in parts], weights)
    return mixed.repeat() if len(parts) == 1 else mixed


def _photo_row(sample: Sample, is_face: bool) -> Row:
    return {
        "crop": sample.crop,
        "mask": sample.mask,
        "landmarks": sample.landmarks,
        "confidence": sample.confidence,
        "eyes": sample.eyes,
        "is_face": np.float32(is_face),
        "code": np.zeros(0, np.float32),
        "has_code": np.float32(0),
    }


def _reference_columns(sample: Sample) -> Row:
    has_reference = sample.reference is not None
    return {
        "reference": sample.reference if has_reference else np.zeros((68, 2), np.float32),
        "has_reference": np.float32(has_reference),
    }


def _render_row(example: Example, code: np.ndarray, rng: np.random.Generator | None) -> Row:
    """The row of a render; with a generator, a random change of the camera is applied."""
    labels = unknown_labels() if example.labels is None else example.labels
    render = Render(example.window, code, example.landmarks68, labels)
    if rng is not None:
        render = random_camera_change(render, rng)
    return {
        **render._asdict(),
        "mask": np.ones((CROP_SIZE, CROP_SIZE), np.uint8),
        "confidence": example.confidence,
        "eyes": np.zeros((len(EYE_POINTS), 2), np.float32),
        "is_face": np.float32(1),
        "has_code": np.float32(1),
    }
