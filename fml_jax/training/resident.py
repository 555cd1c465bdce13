"""Batches that are made on the device, from corpora in its memory.

A GPU trains a small network on thousands of crops a second, and CPU cores make a few hundred. A corpus of 20,000 faces
takes 5 GB. Photos come in pairs of one person where there are several of that person, for `losses.identity`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Key

from fml_jax.corpus.card import is_synthetic
from fml_jax.corpus.device_augmentation import photo_row, plain_photo_row, render_row
from fml_jax.corpus.face_labels import LABEL_SIZE, OCCLUDER
from fml_jax.corpus.packed import SUFFIX, PackedCorpus, load_packed
from fml_jax.corpus.pasted_shapes import with_shapes
from fml_jax.corpus.photo_labels import photo_labels
from fml_jax.errors import InputError
from fml_jax.ops.arrays import Array
from fml_jax.photos.crops import CROP_SIZE
from fml_jax.training.config import DataConfig, StageConfig

NEGATIVES = 0.1  # share of photo rows that show no usable face
PAIRED = 0.6  # share of pairs that are drawn among the people with several photos
PASTED = 0.3  # share of photos over which a render's occluder is pasted
SHAPES = 0.2  # share of rows over which a shape of no particular object is pasted, where the occlusion head is trained
_COLUMNS = ("windows", "valid", "crop", "landmarks", "confidence", "eyes", "code", "labels")


def is_packed(data: DataConfig, stage: StageConfig) -> bool:
    """Whether a stage's corpora are packed files.

    Raises:
      InputError: one is, and another is not.
    """
    used = [data.synthetic] * bool(stage.synthetic) + [data.photos] * bool(stage.photos)
    packed = [each.endswith(SUFFIX) for each in used]
    if any(packed) and not all(packed):
        raise InputError(f"--config.data: {' and '.join(used)}: pack both, or neither")
    return any(packed)


class ResidentBatches:
    """The batches of one stage, as `StageBatches`; arrays are on the device, and have further columns:

    labels  uint8 [B, 120, 120]  see `face_labels`
    person  int32 [B]            equal for rows of one person; −1 for renders
    """

    def __init__(self, data: DataConfig, stage: StageConfig, seed: int) -> None:
        """
        Raises:
          InputError: a file is missing, damaged, or of another kind.
        """
        self._seed = seed
        self._renders = _resident(data.synthetic, "synthetic") if stage.synthetic else None
        self._photos = _resident(data.photos, "photos") if stage.photos else None
        shapes = SHAPES if stage.occlusion else 0.0
        self._made = jax.jit(functools.partial(_batch, counts=(stage.synthetic, stage.photos), shapes=shapes))

    def batch(self, step: int) -> dict[str, Array]:
        """The batch of a step, synthetic rows first; equal in every call."""
        return self._made(jax.random.key(self._seed), step, self._renders, self._photos)


@functools.cache
def _resident(path: str, field: str) -> dict[str, Array]:
    """A packed corpus's arrays on the device; stages share them."""
    corpus = load_packed(path)
    if is_synthetic(corpus.card) != (field == "synthetic"):
        raise InputError(f"--config.data.{field}={path}: packs faces of the other kind; see fml-pack --help")
    return jax.device_put(columns(corpus))


def columns(corpus: PackedCorpus) -> dict[str, Any]:
    """The arrays of a packed corpus's training examples, and which of these belong to one person."""
    rows = {name: getattr(corpus, name)[: corpus.training] for name in (*_COLUMNS, "person")}
    starts, places, counts = np.unique(rows["person"], return_index=True, return_inverse=True, return_counts=True)[1:]
    several = np.flatnonzero(counts[places] > 1)
    return rows | {
        "start": starts[places].astype(np.int32),
        "count": counts[places].astype(np.int32),
        "several": (several if len(several) else np.arange(corpus.training)).astype(np.int32),
    }


def held_out_photos(path: str, rows: int) -> dict[str, np.ndarray] | None:
    """The held-out photos of a packed corpus as the detector frames them: columns as of `StageBatches`.

    Returns:
      at most `rows` of them; None where the file holds none out.

    Raises:
      InputError: the file is missing or damaged.
    """
    corpus = load_packed(path)
    held_out = {name: getattr(corpus, name)[corpus.training :][:rows] for name in _COLUMNS}
    if not len(held_out["crop"]):
        return None
    made = jax.device_get(jax.jit(jax.vmap(plain_photo_row))(held_out))
    return {**made, "crop": np.rint(255 * made["crop"]).astype(np.uint8)}


def _batch(key, step, renders, photos, *, counts, shapes):
    of_renders, of_photos, of_pasting = jax.random.split(jax.random.fold_in(key, step), 3)
    parts = []
    if renders is not None:
        which = jax.random.randint(of_renders, (counts[0],), 0, len(renders["person"]))
        keys = jax.random.split(jax.random.fold_in(of_renders, 1), counts[0])
        part = jax.vmap(render_row)(keys, _taken(renders, which))
        parts.append({**part, "person": jnp.full(counts[0], -1, jnp.int32)})
    if photos is not None:
        part = _photo_rows(of_photos, photos, counts[1])
        if parts:
            part = _with_occluders(of_pasting, part, parts[0])
        length = parts[0]["code"].shape[1] if parts else 0
        parts.append({**part, "code": jnp.zeros((counts[1], length))})
    batch = {name: jnp.concatenate([part[name] for part in parts]) for name in parts[0]}
    if shapes:
        of_shapes = jax.random.fold_in(of_pasting, 1)
        batch["crop"], batch["labels"] = with_shapes(of_shapes, batch["crop"], batch["labels"], share=shapes)
    return {**batch, "crop": jnp.round(255 * batch["crop"]).astype(jnp.uint8)}


def _taken(corpus: dict[str, Array], which: Array) -> dict[str, Array]:
    return {name: corpus[name][which] for name in _COLUMNS}


def _photo_rows(key: Key[Array, ""], photos: dict[str, Array], count: int) -> dict[str, Array]:
    of_pairs, of_rows, of_flips = jax.random.split(key, 3)
    which = drawn_pairs(of_pairs, photos, count)
    rows = _taken(photos, which)
    keys, flips = jax.random.split(of_rows, count), jax.random.bernoulli(of_flips, 0.5, (count,))
    made = jax.vmap(functools.partial(photo_row, negatives=NEGATIVES))(keys, rows, flip=flips)
    # Each row is mirrored by itself: a mirror image counts as the same person.
    return {
        **made,
        "person": photos["person"][which],
        "labels": jax.vmap(photo_labels)(made["landmarks"], made["is_face"]),
    }


def drawn_pairs(key: Key[Array, ""], photos: dict[str, Array], count: int) -> Array:
    """Which examples to take: neighbours are of one person, where there are several of that person."""
    pairs = (count + 1) // 2
    among_all, among_several, choice, partners, others = jax.random.split(key, 5)
    size = len(photos["person"])
    anyone = jax.random.randint(among_all, (pairs,), 0, size)
    several = photos["several"][jax.random.randint(among_several, (pairs,), 0, len(photos["several"]))]
    first = jnp.where(jax.random.uniform(choice, (pairs,)) < PAIRED, several, anyone)
    counts = photos["count"][first]
    place = first - photos["start"][first]
    # Another photo of the same person, never the same one.
    step = 1 + jax.random.randint(partners, (pairs,), 0, jnp.maximum(counts - 1, 1))
    partner = photos["start"][first] + (place + step) % jnp.maximum(counts, 1)
    second = jnp.where(counts > 1, partner, jax.random.randint(others, (pairs,), 0, size))
    return jnp.stack([first, second], axis=1).reshape(-1)[:count]


def _with_occluders(key: Key[Array, ""], photos: dict[str, Array], renders: dict[str, Array]) -> dict[str, Array]:
    """Photos, over some of which the occluder of a render is pasted, where the render has it."""
    count, available = len(photos["crop"]), len(renders["crop"])
    rows = jnp.arange(count) % available
    labels = renders["labels"][rows]
    whether = jax.random.bernoulli(key, PASTED, (count,)) & (photos["is_face"] > 0)
    hidden = (labels == OCCLUDER) & whether[:, None, None]
    pixels = jnp.repeat(jnp.repeat(hidden, CROP_SIZE // LABEL_SIZE, axis=1), CROP_SIZE // LABEL_SIZE, axis=2)
    crops = jnp.where(pixels[..., None], renders["crop"][rows], photos["crop"])
    return {**photos, "crop": crops, "labels": jnp.where(hidden, jnp.uint8(OCCLUDER), photos["labels"])}
