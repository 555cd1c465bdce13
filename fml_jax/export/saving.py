"""All files of one reconstruction."""

from pathlib import Path

import cv2
import numpy as np

from fml_jax.errors import InputError
from fml_jax.export.code_files import write_code_file
from fml_jax.export.meshes import write_obj, write_ply
from fml_jax.reconstruction.reconstruction import Reconstruction
from fml_jax.safe_npz import read_npz

OVERLAY_SIZE = 480


def save_reconstruction(face: Reconstruction, folder: Path, stem: str, *, overwrite: bool = False) -> list[Path]:
    """STEM_k.npz (all numbers), .obj (mesh with UVs), .ply (mesh with reflectance), _overlay.png; k is `face.index`.

    Raises:
      InputError: STEM_k.npz exists and holds another face (another photo or place), and `overwrite` is false.
    """
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / f"{stem}_{face.index}"
    paths = [base.with_name(base.name + ending) for ending in (".npz", ".obj", ".ply", "_overlay.png")]
    if not overwrite and paths[0].exists() and not _is_same_face(paths[0], face):
        raise InputError(
            f"{paths[0]}: another face's file; choose another folder or stem, or replace it with overwrite=True"
        )
    write_code_file(paths[0], face)
    write_obj(paths[1], face.vertices, face.triangles, np.asarray(face.model.uv), np.asarray(face.model.uv_triangles))
    write_ply(paths[2], face.vertices, face.triangles, face.reflectance)
    write_png(paths[3], face.render("overlay", OVERLAY_SIZE))
    return paths


def _is_same_face(path: Path, face: Reconstruction) -> bool:
    """Whether a file holds the face of the same photo at the same place, as an earlier run left it."""
    try:
        fields = read_npz(path, "reconstruction's npz file", ["source", "box"])
        return str(fields["source"]) == face.source and np.allclose(fields["box"], face.box, atol=0.5)
    except (InputError, KeyError, TypeError, ValueError):
        return False


def write_png(path: Path, rgb: np.ndarray) -> None:
    """An RGB uint8 picture."""
    if not cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)):
        raise OSError(f"{path}: could not be written")
