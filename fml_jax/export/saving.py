"""All files of one reconstruction."""

from pathlib import Path

import cv2
import numpy as np

from fml_jax.export.code_files import write_code_file
from fml_jax.export.meshes import write_obj, write_ply

OVERLAY_SIZE = 480


def save_reconstruction(face, folder: Path, stem: str) -> list[Path]:
    """STEM_k.npz (all numbers), .obj (mesh with UVs), .ply (mesh with reflectance), _overlay.png; k is the face's index."""
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / f"{stem}_{face.index}"
    paths = [base.with_name(base.name + ending) for ending in (".npz", ".obj", ".ply", "_overlay.png")]
    write_code_file(paths[0], face)
    write_obj(paths[1], face.vertices, face.triangles, np.asarray(face.model.uv), np.asarray(face.model.uv_triangles))
    write_ply(paths[2], face.vertices, face.triangles, face.reflectance)
    write_png(paths[3], face.render("overlay", OVERLAY_SIZE))
    return paths


def write_png(path: Path, rgb: np.ndarray) -> None:
    """An RGB uint8 picture."""
    if not cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)):
        raise OSError(f"{path}: could not be written")
