"""Where batches come from: synthetic faces and photos, each row a function of seed and step."""

import json
from pathlib import Path

import jax
import numpy as np

from fml_jax.corpus.card import CARD, is_synthetic, open_corpus
from fml_jax.corpus.loader import CorpusBatches
from fml_jax.errors import InputError
from fml_jax.image_formation.camera import CROP_SIZE

_MADE_BY = {
    "synthetic": "python -m experiments.prepare --layout=synthetic --output=FOLDER",
    "photos": "python -m experiments.prepare --layout=folder --input=PHOTOS --output=FOLDER",
}


class StageBatches:
    """The batches of one stage: `synthetic` rows with known codes, then `photos` rows with landmarks."""

    def __init__(self, config: dict, stage: dict):
        self._sources = []
        if stage["synthetic"]:
            folder = existing_folder(config, "synthetic")
            if not is_synthetic(open_corpus(folder).card):
                fault = "a corpus of photos, whose codes are not known; name it in data.photos"
                raise InputError(f"--config.data.synthetic={folder}: {fault}")
            self._sources.append(CorpusBatches(folder, "all", stage["synthetic"], seed=config["seed"]))
        if stage["photos"]:
            # Synthetic faces may be taken as photos too: training then sees their crops and landmarks alone.
            folder = existing_folder(config, "photos")
            self._sources.append(CorpusBatches(folder, "train", stage["photos"], seed=config["seed"]))

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The batch of a step, synthetic rows first; the same whenever it is asked for."""
        parts = [source.batch(step) for source in self._sources]
        length = max(part["code"].shape[1] for part in parts)
        parts = [part | {"code": np.pad(part["code"], ((0, 0), (0, length - part["code"].shape[1])))} for part in parts]
        names = set.intersection(*(set(part) for part in parts))
        return {name: np.concatenate([part[name] for part in parts]) for name in sorted(names)}


def batch_shapes(rows: int, code_size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """What `StageBatches.batch` gives, by its shapes alone."""
    shapes = {
        "crop": ((CROP_SIZE, CROP_SIZE, 3), np.uint8),
        "mask": ((CROP_SIZE, CROP_SIZE), np.uint8),
        "landmarks": ((68, 2), np.float32),
        "confidence": ((68,), np.float32),
        "is_face": ((), np.float32),
        "code": ((code_size,), np.float32),
        "has_code": ((), np.float32),
    }
    return {name: jax.ShapeDtypeStruct((rows, *shape), dtype) for name, (shape, dtype) in shapes.items()}


def validation_batch(config: dict, kind: str, rows: int) -> dict[str, np.ndarray] | None:
    """One fixed batch of faces that no stage trains on; None where the config names no such data."""
    if kind == "photos" and config["data"]["photos"]:
        folder = existing_folder(config, "photos")
        if is_synthetic(open_corpus(folder).card):
            return None  # it has no validation split; data.synthetic_validation names such faces
        source = CorpusBatches(folder, "validation", rows, seed=0, jitter=0.0, negatives=0.0)
    elif kind == "synthetic" and config["data"]["synthetic_validation"]:
        source = CorpusBatches(
            existing_folder(config, "synthetic_validation"), "all", rows, seed=0, jitter=0.0, truth=True
        )
    else:
        return None
    return source.batch(0)


def copy_cards(config: dict, workdir: Path) -> list[str]:
    """Puts the card of every corpus that the config names beside the checkpoints, as FIELD.corpus.json.

    Returns:
      a line for each that differs from the one put there before.
    """
    changed = []
    for field in filter(config["data"].get, config["data"]):
        card = open_corpus(existing_folder(config, field)).card
        copy = workdir / f"{field}.{CARD}"
        if copy.is_file() and (before := json.loads(copy.read_text("utf-8"))["sha256"]) != card["sha256"]:
            changed.append(f"{field}: corpus {before[:12]} → {card['sha256'][:12]}")
        copy.write_text(json.dumps(card, indent=2, ensure_ascii=False), "utf-8")
    return changed


def existing_folder(config: dict, field: str) -> Path:
    """The data folder that a config names.

    Raises:
      InputError: it is not there; the message tells which command makes it.
    """
    folder = config["data"][field]
    if not folder or not Path(folder).is_dir():
        made_by = _MADE_BY[field.split("_")[0]]
        raise InputError(f"--config.data.{field}={folder}: no such folder; make one with: {made_by}")
    return Path(folder)
