"""The script of a face, beside the viewer of a folder of results."""

from pathlib import Path
from typing import Any

from fml_jax.export.viewer.face_data import face_data
from fml_jax.export.viewer.folder import entry_of, model_path, script_path, write_script
from fml_jax.export.viewer.model_data import model_data, model_key
from fml_jax.export.viewer.page import face_script, model_script
from fml_jax.files import all_complete_or_absent, cannot_be_written


def write_face(face: Any, folder: Path, stem: str) -> None:
    """Writes a `Reconstruction`'s script, and that of its face model if there is none yet.

    Raises:
      InputError: they cannot be written.
    """
    path, key = script_path(folder, stem, face.index), model_key(face.model)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_be_written(path.parent, error) from None
    model = model_path(folder, key)
    if not model.is_file():  # written by itself, as other faces need it too if this one fails
        write_script(model, model_script(key, model_data(face.model)))
    script = face_script(entry_of(stem, face.index, "").name, face_data(face))
    with all_complete_or_absent([path]) as (partial,):
        partial.write_text(script, "utf-8")
