"""All files of one reconstruction."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fml_jax.errors import InputError
from fml_jax.export.formats import (
    DEFAULT,
    FILE_SUFFIXES,
    FORMATS,
    TEXTURES,
    checked_formats,
    checked_texture,
    endings_of,
)
from fml_jax.export.writers import write_formats
from fml_jax.files import all_complete_or_absent, cannot_be_written
from fml_jax.reconstruction.pictures import Pictures
from fml_jax.reconstruction.reconstruction import Reconstruction
from fml_jax.safe_npz import read_npz

_SAME_BOX = 0.5  # pixels by which the boxes of one face may differ


def save_reconstruction(
    face: Reconstruction,
    target: Path,
    stem: str | None = None,
    *,
    formats: Iterable[str] | str | None = None,
    texture: str = TEXTURES[0],
    overwrite: bool = False,
    pictures: Pictures | None = None,
) -> list[Path]:
    """Writes a face into one file, or all its files into a folder; all or none.

    A target that ends like a file (face.glb, .obj, .ply, .npz, .fml) is written in that format, and replaced if it
    exists; an OBJ has its material and texture beside it. Any other target is a folder: the files are named STEM_k.npz
    and so on, where k is the face's index.

    Args:
      target: a folder is made if missing.
      stem: in a folder, the first part of the names; None is the face's name. It may lead through subfolders.
      formats: in a folder, names of `fml_jax.export.formats.FORMATS`; None is `DEFAULT` there.
      texture: of glb and obj: "reflectance", or "photo" for `photo_texture`.
      overwrite: in a folder, replace files of these names even if the npz file among them is another face's.
      pictures: of the face, if others are made as well.

    Returns:
      the files' paths, in the order of the formats.

    Raises:
      InputError: an unknown format or texture, `stem` or `formats` for a single file, or the files cannot be written or
        belong to another face (of another photo, or at another place).
    """
    single = single_format(target)
    if single is not None:
        if stem is not None or formats is not None:
            raise InputError(f"{target}: a single file; give the folder instead to choose a stem or formats")
        return _write(face, [single], target.with_suffix(""), texture=texture, overwrite=True, pictures=pictures)
    chosen = checked_formats([formats] if isinstance(formats, str) else DEFAULT if formats is None else formats)
    base = target / f"{face.name if stem is None else stem}_{face.index}"
    return _write(face, chosen, base, texture=texture, overwrite=overwrite, pictures=pictures)


def single_format(target: Path) -> str | None:
    """The format that a target's name asks for; None if it stands for a folder."""
    name = target.suffix[1:].lower()
    return name if name in FILE_SUFFIXES and not target.is_dir() else None


def _write(
    face: Reconstruction,
    formats: Iterable[str],
    base: Path,
    *,
    texture: str,
    overwrite: bool,
    pictures: Pictures | None,
) -> list[Path]:
    formats, texture = list(formats), checked_texture(texture)
    endings = endings_of(formats)
    paths = [base.with_name(base.name + ending) for ending in endings]
    npz = base.with_name(base.name + FORMATS["npz"][0])
    if not overwrite and os.path.exists(npz) and not is_file_of(npz, face.source, face.box):
        raise InputError(
            f"{npz}: another face's file; choose another folder or stem, or replace it with overwrite=True"
        )
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_be_written(base.parent, error) from None
    with all_complete_or_absent(paths) as partials:
        of_ending = dict(zip(endings, partials, strict=True))
        write_formats(face, formats, of_ending, stem=base.name, texture=texture, pictures=pictures)
    return paths


def is_file_of(path: Path, source: str, box: np.ndarray | None = None) -> bool:
    """Whether a saved npz file is one of a photo, and of the face at a place in it if `box` is given."""
    try:
        fields = read_npz(path, "reconstruction's npz file", ["source", "box"])
        same_photo = os.path.abspath(str(fields["source"])) == os.path.abspath(source)
        return same_photo and (box is None or np.allclose(fields["box"], box, atol=_SAME_BOX))
    except (InputError, KeyError, TypeError, ValueError):
        return False
