"""The batches of training, from corpora of synthetic faces and of photos; each row is a function of seed and step."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fml_jax.corpus.card import CARD, check_face_model, is_synthetic, open_corpus
from fml_jax.corpus.loader import CorpusBatches
from fml_jax.corpus.packed import SUFFIX, packed_card
from fml_jax.errors import InputError
from fml_jax.files import complete_or_absent
from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.photos.landmarks import EYE_POINTS
from fml_jax.training.config import DataConfig, StageConfig
from fml_jax.training.resident import held_out_photos

_COMMANDS = {
    "synthetic": "fml-prepare --layout=synthetic --output=FOLDER",
    "photos": "fml-prepare --layout=folder --input=PHOTOS --output=FOLDER",
}


class StageBatches:
    """The batches of one stage: `synthetic` rows with known codes, then `photos` rows with landmarks."""

    def __init__(self, data: DataConfig, stage: StageConfig, seed: int) -> None:
        """
        Raises:
          InputError: a corpus that the stage needs is missing, or is of another kind.
        """
        for name, weight in {"identity": stage.identity, "skin.agreement": stage.skin.agreement}.items():
            if weight:
                raise InputError(
                    f"a stage with a weight of {name} needs several photos of a person; pack them (fml-pack)"
                )
        labels = bool(stage.occlusion)
        self._sources = []
        if stage.synthetic:
            folder = existing_folder(data, "synthetic")
            if not is_synthetic(open_corpus(folder).card):
                fault = "a corpus of photos, whose codes are not known; name it in data.photos"
                raise InputError(f"--config.data.synthetic={folder}: {fault}")
            self._sources.append(CorpusBatches(folder, "all", stage.synthetic, seed=seed, labels=labels))
        if stage.photos:
            # Synthetic faces may be used as photos: training then uses their crops and landmarks alone.
            folder = existing_folder(data, "photos")
            self._sources.append(CorpusBatches(folder, "train", stage.photos, seed=seed, labels=labels))

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The batch of a step, synthetic rows first; equal in every call."""
        parts = [source.batch(step) for source in self._sources]
        length = max(part["code"].shape[1] for part in parts)
        parts = [part | {"code": np.pad(part["code"], ((0, 0), (0, length - part["code"].shape[1])))} for part in parts]
        names = set.intersection(*(set(part) for part in parts))
        return {name: np.concatenate([part[name] for part in parts]) for name in sorted(names)}


def batch_shapes(rows: int, code_size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of the arrays that `StageBatches.batch` returns."""
    shapes = {
        "crop": ((CROP_SIZE, CROP_SIZE, 3), np.uint8),
        "mask": ((CROP_SIZE, CROP_SIZE), np.uint8),
        "landmarks": ((68, 2), np.float32),
        "confidence": ((68,), np.float32),
        "eyes": ((len(EYE_POINTS), 2), np.float32),
        "is_face": ((), np.float32),
        "code": ((code_size,), np.float32),
        "has_code": ((), np.float32),
    }
    return {name: jax.ShapeDtypeStruct((rows, *shape), dtype) for name, (shape, dtype) in shapes.items()}


def validation_batch(data: DataConfig, kind: str, rows: int) -> dict[str, np.ndarray] | None:
    """One fixed batch of faces on which no stage trains; None where the config names no such data.

    Args:
      kind: "photos" or "synthetic".
    """
    if kind == "photos" and data.photos.endswith(SUFFIX):
        return held_out_photos(data.photos, rows)
    if kind == "photos" and data.photos:
        folder = existing_folder(data, "photos")
        if is_synthetic(open_corpus(folder).card):
            return None  # it has no validation split; data.synthetic_validation names such faces
        source = CorpusBatches(folder, "validation", rows, seed=0, jitter=0.0, negatives=0.0)
    elif kind == "synthetic" and data.synthetic_validation:
        folder = existing_folder(data, "synthetic_validation")
        source = CorpusBatches(folder, "all", rows, seed=0, jitter=0.0, truth=True)
    else:
        return None
    return source.batch(0)


def check_face_models(data: DataConfig, name: str) -> None:
    """Checks that the corpora of renders with known codes show the face model of this name.

    Raises:
      InputError: one shows another model.
    """
    for field in ("synthetic", "synthetic_validation"):
        path = getattr(data, field)
        if path and Path(path).exists():  # no stage may need it
            check_face_model(Path(path), _card(data, field), name)


def corpus_checksums(data: DataConfig) -> list[str]:
    """The checksums of the corpora on which a run trains, in the order of the fields; "" where there is none."""
    return [_card(data, field)["sha256"] if getattr(data, field) else "" for field in ("synthetic", "photos")]


def copy_cards(data: DataConfig, workdir: Path) -> list[str]:
    """Copies the card of every corpus of a run into its workdir, as FIELD.corpus.json.

    Returns:
      a line for each card that differs from the previous copy.
    """
    changed = []
    for field in ("synthetic", "synthetic_validation", "photos"):
        if not getattr(data, field):
            continue
        card = _card(data, field)
        copy = workdir / f"{field}.{CARD}"
        if copy.is_file() and (before := json.loads(copy.read_text("utf-8"))["sha256"]) != card["sha256"]:
            changed.append(f"{field}: corpus {before[:12]} → {card['sha256'][:12]}")
        with complete_or_absent(copy) as partial:
            partial.write_text(json.dumps(card, indent=2, ensure_ascii=False), "utf-8")
    return changed


def _card(data: DataConfig, field: str) -> dict[str, Any]:
    path = getattr(data, field)
    return packed_card(path) if path.endswith(SUFFIX) else open_corpus(existing_folder(data, field)).card


def existing_folder(data: DataConfig, field: str) -> Path:
    """The folder in a field of the config's data.

    Raises:
      InputError: it does not exist; the message has the command that makes it.
    """
    folder = getattr(data, field)
    if not folder or not Path(folder).is_dir():
        command = _COMMANDS[field.split("_")[0]]
        raise InputError(f"--config.data.{field}={folder}: no such folder; make one with: {command}")
    return Path(folder)
