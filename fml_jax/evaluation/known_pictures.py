"""Pictures of known surfaces: of scans, rendered here, and of corpora of renders that store their true surfaces."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from fml_jax.corpus.card import check_face_model, open_corpus
from fml_jax.corpus.loader import CorpusBatches
from fml_jax.errors import InputError
from fml_jax.evaluation.scan_renders import chosen_views, dressed_scan, picture_of
from fml_jax.evaluation.scans import KnownFace, known_render, known_scan, list_scans, registration_of
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.files import load_face_model

_SHOWN = 16  # renders of a corpus


class KnownPicture(NamedTuple):
    """A picture and the surface that it shows."""

    name: str
    group: str
    known: KnownFace
    model: BaseModel  # at detail "face": the surface's corresponding points are its vertices
    rgb: UInt8[np.ndarray, "H W 3"]
    shown: bool  # its heat maps may be in the sheet


def scan_pictures(scans: Sequence[str], folder: Path, *, views: int) -> Iterator[KnownPicture]:
    """Renders of scans under so many views; a bar counts scans.

    Args:
      scans: files and folders of meshes.
      folder: where registrations are kept.

    Raises:
      InputError: a scan cannot be read, shows no face, or there is none.
    """
    model, of_face = load_face_model(), load_face_model(None, "face")
    for path in tqdm(list_scans(scans), unit="scan") if scans else []:
        mesh, found = registration_of(model, path, folder)
        known = known_scan(model, path.stem, mesh, found=found)
        head = dressed_scan(model, path.stem, mesh, found=found)
        for k, view in enumerate(chosen_views(views)):
            picture = picture_of(head, view)
            yield KnownPicture(f"{path.stem}_{view}", "renders of scans", known, of_face, picture, k == 0)


def corpus_pictures(corpus: str | None, count: int, face_model: str | None = None) -> Iterator[KnownPicture]:
    """The first renders of a corpus.

    Args:
      face_model: the file of a model that it may be rendered from, besides the open one.

    Raises:
      InputError: no such corpus, one without true surfaces, or of another face model.
    """
    if corpus is None:
        return
    faces = min(count, len(CorpusBatches(corpus, "all", 1)))
    batch = CorpusBatches(corpus, "all", faces, jitter=0.0, truth=True).batch(0)
    if "vertices" not in batch:
        raise InputError(
            f"{corpus}: no true surfaces are stored in it; make it with fml-prepare --layout=synthetic --beyond"
        )
    model, title = _model_of(corpus, face_model), Path(corpus).resolve().name
    for k in range(faces):
        known = known_render(model, f"{title}_{k}", batch["vertices"][k])
        yield KnownPicture(known.name, f"renders of {title}", known, model, batch["crop"][k], k < _SHOWN)


def _model_of(corpus: str, face_model: str | None) -> BaseModel:
    """The model at detail "face" that a corpus is rendered from: the open one, or else that of the file."""
    card, model = open_corpus(corpus).card, load_face_model(None, "face")
    if face_model is not None and card.get("settings", {}).get("model") != model.name:
        model = load_face_model(face_model, "face")
    check_face_model(Path(corpus), card, model.name)
    return model


def key_of(case: KnownPicture) -> str:
    """Name and content: a corpus may have been made anew, a scan replaced."""
    return f"{case.name} {hashlib.sha1(case.rgb.tobytes() + case.known.registered.tobytes()).hexdigest()[:8]}"
