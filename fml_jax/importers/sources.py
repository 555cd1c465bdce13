"""The layouts by name, and a whole import."""

from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fml_jax.codes import CodeSizes
from fml_jax.errors import InputError
from fml_jax.face_model.writing import write_npz
from fml_jax.files import complete_or_absent
from fml_jax.importers.bfm2009 import read_bfm2009
from fml_jax.importers.bfm2017 import read_bfm2017
from fml_jax.importers.conversion import PAPERS_SIZES, Converted, convert
from fml_jax.importers.correspondence import STEPS
from fml_jax.importers.flame import read_flame
from fml_jax.importers.ict_facekit import read_ict
from fml_jax.importers.meshes import read_landmark_file, read_meshes
from fml_jax.importers.raw_model import RawModel

_READERS = {"bfm2009": read_bfm2009, "bfm2017": read_bfm2017, "flame": read_flame, "ict": read_ict}
SOURCES = (*_READERS, "meshes")
_TERMS = {
    "bfm2009": "Basel Face Model licence of the University of Basel: research only, not to be passed on",
    "bfm2017": "Basel Face Model licence of the University of Basel: research only, not to be passed on",
    "flame": "FLAME licence of the Max Planck Society: see the version that was obtained",
    "ict": "MIT, (c) 2020 USC Institute for Creative Technologies",
    "meshes": "that of the meshes",
}


def read_source(source: str, path: Path, landmarks: Path | None = None) -> tuple[RawModel, np.ndarray | None]:
    """A model in one of `SOURCES`' layouts, and the landmarks of a file in place of its own.

    Raises:
      InputError: an unknown source, or files that cannot be used.
    """
    if source not in SOURCES:
        raise InputError(f"source {source!r} is unknown; choose one of {', '.join(SOURCES)}")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check --path")
    marks = None if landmarks is None else read_landmark_file(landmarks)
    with np.errstate(over="ignore", invalid="ignore"):  # the readers refuse what is not finite
        return _read(source, path, landmarks, marks)


def _read(source, path, landmarks, marks):
    if source == "meshes":
        if marks is None:
            raise InputError("--source=meshes needs --landmarks=FILE: 68 numbers of vertices (from 0, iBUG's order)")
        return read_meshes(path, marks), marks
    raw = _READERS[source](path)
    if marks is not None and marks.max() >= len(raw.mean):
        raise InputError(f"{landmarks}: names vertex {marks.max()}, but the model has {len(raw.mean)}")
    return raw, marks


def import_face_model(
    source: str,
    path: Path,
    output: Path,
    *,
    landmarks: Path | None = None,
    sizes: CodeSizes = PAPERS_SIZES,
    progress: bool = False,
) -> Converted:
    """Reads a model of one of `SOURCES`' layouts and writes the project's npz file, complete or not at all.

    Args:
      landmarks: a file of 68 numbers of vertices.
      sizes: at most so many modes are kept; 0 keeps all.
      progress: show a bar.

    Raises:
      InputError: files that cannot be read or written.
    """
    with tqdm(total=len(STEPS) + 1, desc="reading", disable=not progress) as bar:

        def note(word: str) -> None:
            bar.update(1)
            bar.set_description(word)

        raw, marks = read_source(source, path, landmarks)
        converted = convert(raw, marks, sizes, licence=_TERMS[source], note=note)
        bar.update(1)
    arrays: dict[str, Any] = converted.arrays
    with complete_or_absent(output) as partial:
        write_npz(partial, arrays, level=0)
    return converted
