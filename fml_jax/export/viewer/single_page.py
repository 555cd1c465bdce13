"""One HTML file that shows faces in 3D and needs nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fml_jax.errors import InputError
from fml_jax.export.viewer.face_data import face_data
from fml_jax.export.viewer.model_data import model_data, model_key
from fml_jax.export.viewer.page import Entry, face_script, list_script, model_script, write_page
from fml_jax.files import cannot_be_written, checked_path


def write_viewer(path: str | Path, faces: Sequence[Any]) -> Path:
    """Writes one HTML file that shows reconstructions and needs nothing else.

    One face takes about 2.5 MB, most of it three.js and the named shapes; each further face about 0.3 MB.

    Args:
      path: of the file; its folder is made if missing.
      faces: `Reconstruction`s, at least one.

    Raises:
      InputError: the path is empty, there is no face, or the file cannot be written.
    """
    path = checked_path(path)
    if not faces:
        raise InputError(f"{path}: there is no face to show; give at least one")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_be_written(path.parent, error) from None
    entries = [Entry(f"{k}", title_of(face)) for k, face in enumerate(faces)]
    models = {model_key(face.model): face.model for face in faces}
    scripts = [model_script(name, model_data(model)) for name, model in models.items()]
    scripts += [face_script(entry.name, face_data(face)) for entry, face in zip(entries, faces, strict=True)]
    title = entries[0].title if len(entries) == 1 else f"{len(entries)} faces"
    write_page(path, [list_script(1, entries), *scripts], complete=True, title=title)
    return path


def title_of(face: Any) -> str:
    """The heading over a face: its photo's name, and which face of the photo it is."""
    return f"{Path(face.source).name}, face {face.index}"
