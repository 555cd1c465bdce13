"""All files of one reconstruction."""

import os
from pathlib import Path

import numpy as np

from fml_jax.errors import InputError
from fml_jax.export.code_files import write_code_file
from fml_jax.export.meshes import write_obj, write_ply
from fml_jax.export.png import write_png
from fml_jax.face_model.topology import vertex_normals
from fml_jax.files import all_complete_or_absent, cannot_be_written
from fml_jax.reconstruction.reconstruction import Reconstruction
from fml_jax.safe_npz import read_npz

OVERLAY_SIZE = 480
ENDINGS = (".npz", ".obj", ".ply", "_overlay.png")
_SAME_BOX = 0.5  # pixels by which the boxes of one face may differ


def save_reconstruction(face: Reconstruction, folder: Path, stem: str, *, overwrite: bool = False) -> list[Path]:
    """Writes all files of a face, or none: STEM_k.npz, .obj, .ply and _overlay.png, where k is the face's index.

    The npz file has all numbers, the meshes have the reflectance as their vertices' colours.

    Args:
      folder: made if missing.
      stem: may lead through subfolders of `folder`, which are made if missing.
      overwrite: replace files of these names even if they are those of another face.

    Returns:
      the files' paths in the order above.

    Raises:
      InputError: the files cannot be written, or belong to another face (of another photo, or at another place).
    """
    paths = [folder / f"{stem}_{face.index}{ending}" for ending in ENDINGS]
    if not overwrite and os.path.exists(paths[0]) and not is_file_of(paths[0], face.source, face.box):
        raise InputError(
            f"{paths[0]}: another face's file; choose another folder or stem, or replace it with overwrite=True"
        )
    try:
        paths[0].parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_be_written(paths[0].parent, error) from None
    triangles, model = np.asarray(face.triangles), face.model
    normals = np.asarray(vertex_normals(model.topology, face.vertices))
    with all_complete_or_absent(paths) as (npz, obj, ply, png):
        write_code_file(npz, face)
        write_obj(
            obj,
            face.vertices,
            triangles,
            uv=np.asarray(model.uv),
            uv_triangles=np.asarray(model.uv_triangles),
            colours=face.reflectance,
            normals=normals,
        )
        write_ply(ply, face.vertices, triangles, colours=face.reflectance)
        write_png(png, face.render("overlay", OVERLAY_SIZE))
    return paths


def is_file_of(path: Path, source: str, box: np.ndarray | None = None) -> bool:
    """Whether a saved npz file is one of a photo, and of the face at a place in it if `box` is given."""
    try:
        fields = read_npz(path, "reconstruction's npz file", ["source", "box"])
        same_photo = os.path.abspath(str(fields["source"])) == os.path.abspath(source)
        return same_photo and (box is None or np.allclose(fields["box"], box, atol=_SAME_BOX))
    except (InputError, KeyError, TypeError, ValueError):
        return False
