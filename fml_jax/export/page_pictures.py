"""The pictures of faces that the pages show."""

from pathlib import Path
from typing import Any

import numpy as np

from fml_jax.export.page import CAPTIONS, PICTURE_SIZE, picture_paths
from fml_jax.export.png import as_jpeg
from fml_jax.files import all_complete_or_absent, cannot_be_written
from fml_jax.reconstruction.pictures import Pictures


def painted_for_page(pictures: Pictures) -> dict[str, np.ndarray]:
    """The pictures of a face's section on a page, by kind; painted together, which takes half the time."""
    return pictures.rendered(tuple(CAPTIONS), PICTURE_SIZE)


def write_pictures(face: Any, folder: Path, stem: str, *, pictures: Pictures | None = None) -> None:
    """Draws the pages' pictures of a `Reconstruction`.

    Args:
      pictures: of the face, if others are made as well.

    Raises:
      InputError: they cannot be written; none of them remains.
    """
    paths = picture_paths(folder, stem, face.index)
    try:
        paths["photo"].parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_be_written(paths["photo"].parent, error) from None
    rendered = painted_for_page(pictures or Pictures(face))
    with all_complete_or_absent(list(paths.values())) as partials:
        for kind, partial in zip(paths, partials, strict=True):
            partial.write_bytes(as_jpeg(rendered[kind]))
