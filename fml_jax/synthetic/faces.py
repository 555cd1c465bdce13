"""Synthetic faces: renders of the face model whose codes are known exactly.

The network learns from them what photos alone do not determine, such as the parts of reflectance and illumination in a
colour. Faces are rendered into a corpus before training. Face k depends on (seed, k) alone, so that a build can be
interrupted, continued, and divided among processes.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from fml_jax.corpus.building import build
from fml_jax.corpus.quality import face_stats
from fml_jax.corpus.records import Example
from fml_jax.corpus.shards import PER_SHARD
from fml_jax.face_model.base import BaseModel
from fml_jax.files import checked_path
from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.runners import Runner, run_in_processes
from fml_jax.synthetic.backgrounds import read_background, usable_backgrounds
from fml_jax.synthetic.beyond_span import hidden_population
from fml_jax.synthetic.expressions import expression_units
from fml_jax.synthetic.occluders.kinds import checked_kinds
from fml_jax.synthetic.rendering import Style, render_synthetic

_RECIPE_VERSION = 4  # raise it when the same seed gives other faces

_UNMOVED = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


class SyntheticFaceNumber(NamedTuple):
    """One item of a corpus of renders."""

    name: str
    source: str
    number: int


class SyntheticMaker:
    """Renders face number k; the result depends on (seed, k) and the background photos alone."""

    def __init__(
        self,
        model: BaseModel,
        seed: int,
        background_photos: list[Path],
        *,
        beyond: bool,
        truth: bool,
        style: Style = Style(),  # noqa: B008 (frozen)
    ) -> None:
        """See `build_synthetic`; `background_photos` are the files."""
        self._model, self._seed, self._background_photos = jax.device_get(model), seed, background_photos
        self._beyond, self._truth, self._style = beyond, truth, style

    def start(self) -> None:
        """Prepares a process: reads the background photos and computes the data that all faces share."""
        self._model, self._units = jax.device_put(self._model), expression_units(self._model)
        self._backgrounds = [read_background(path) for path in self._background_photos]
        self._population = hidden_population(self._model) if self._beyond else None

    def __call__(self, item: SyntheticFaceNumber) -> Example:
        rng = np.random.default_rng([self._seed, item.number])
        face = render_synthetic(
            self._model,
            self._units,
            rng,
            background_photos=self._backgrounds,
            population=self._population,
            style=self._style,
        )
        return Example(
            name=item.name,
            source=item.source,
            person="",
            window=face.crop,
            valid=np.ones((CROP_SIZE, CROP_SIZE), bool),
            to_photo=_UNMOVED,
            crop=_UNMOVED,
            landmarks68=face.landmarks,
            confidence=np.ones(68, np.float32),
            landmarks478=face.mesh,
            from_detector=False,
            stats=face_stats(face.crop, face.mesh),
            code=face.code,
            truth=face.truth if self._truth else None,
            labels=face.labels,
        )


def build_synthetic(
    model: BaseModel,
    output_folder: str | Path,
    count: int,
    *,
    seed: int = 0,
    workers: int | None = None,
    background_folder: str | Path | None = None,
    per_shard: int = PER_SHARD,
    runner: Runner = run_in_processes,
    beyond: bool = False,
    truth: bool = False,
    style: Style = Style(),  # noqa: B008 (frozen)
) -> dict:
    """Renders faces into a corpus, as `corpus.building.build_corpus` makes one of photos.

    The code of a record and the model that the card names define the face: eq. 3–4 give its vertices and reflectance.
    This does not hold for faces beyond the model's span.

    Args:
      output_folder, workers, per_shard, runner: see `corpus.building.build_corpus`.
      count: number of faces.
      seed: another seed gives other faces.
      background_folder: photos for backgrounds; without it, backgrounds are generated.
      beyond: render faces of `beyond_span.hidden_population`.
      truth: store vertices and reflectance as well, 80 kB a face.
      style: what renders look like, with which occluders; of no effect on faces beyond the span.

    Returns:
      The card.

    Raises:
      InputError: the folder holds something else, no background photo can be read, a kind of occluder is unknown, or
        the disk is full.
    """
    style = dataclasses.replace(style, kinds=checked_kinds(style.kinds))
    backgrounds = None if background_folder is None else str(background_folder)
    photos, digest = ([], None) if backgrounds is None else usable_backgrounds(backgrounds)
    about = {
        "sources": [
            {
                "name": "synthetic",
                "layout": "synthetic",
                "input": backgrounds,
                "weight": 1.0,
                "where": f"rendered from the face model {model.name!r}",
                "terms": "the face model's, and the background photos'" if backgrounds else "the face model's",
            }
        ],
        "settings": {
            "recipe": _RECIPE_VERSION,
            "model": model.name,
            "seed": seed,
            "count": count,
            "beyond": beyond,
            "truth": truth,
            **({} if beyond else {"style": dataclasses.asdict(style)}),
            "backgrounds_sha256": digest,
        },
    }
    items = [SyntheticFaceNumber(f"synthetic/{seed}/{k:08d}", "synthetic", k) for k in range(count)]
    maker = SyntheticMaker(model, seed, photos, beyond=beyond, truth=truth, style=style)
    return build(
        checked_path(output_folder), items, maker, about=about, workers=workers, per_shard=per_shard, runner=runner
    )
