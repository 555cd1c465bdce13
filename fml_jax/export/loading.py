"""Saved faces as `Reconstruction`s again."""

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

from fml_jax.codes import FaceCode, FinalCode
from fml_jax.errors import InputError
from fml_jax.export.code_files import read_code_file
from fml_jax.export.compact_code import CompactFace, read_compact_face
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.correctives import Corrections
from fml_jax.face_model.files import load_face_model
from fml_jax.face_model.learned import FaceModel, corrections
from fml_jax.files import checked_path
from fml_jax.photos.reading import MAX_PIXELS
from fml_jax.reconstruction.decoding import decode_one, with_corrections
from fml_jax.reconstruction.prediction import load_network
from fml_jax.reconstruction.reconstruction import Reconstruction, in_photo
from fml_jax.reconstruction.sources import read_source, source_of


def load_face(
    path: str | os.PathLike, photo: Any = None, *, model: BaseModel | FaceModel | None = None
) -> Reconstruction:
    """A face that was saved as .fml or .npz.

    Args:
      path: the file.
      photo: the photo that it was reconstructed from, a path or an array; None is a black one of the same size.
        Without it, geometry, reflectance and shading are as before, and pictures show the face on black.
      model: the face model that the file was made with; None is the one that the package carries. A .fml with a final
        level of another network needs its learned model.

    Raises:
      InputError: the file is missing, damaged, or was made with another face model; or the photo cannot be read or has
        another size.
    """
    path = checked_path(path)
    if path.suffix.lower() == ".npz":
        return _from_npz(path, photo, _base_of(model))
    return _from_compact(path, read_compact_face(path), photo, model=model)


def _from_compact(path: Path, saved: CompactFace, photo: Any, *, model: BaseModel | FaceModel | None) -> Reconstruction:
    base = _base_of(model)
    _check_model(path, saved.face_model, base)
    code = saved.code.lit if isinstance(saved.code, FinalCode) else saved.code
    if tuple(code.sizes) != tuple(base.code_sizes):
        raise InputError(f"{path}: its code has {tuple(code.sizes)} numbers, the face model {tuple(base.code_sizes)}")
    final = saved.code if isinstance(saved.code, FinalCode) else None
    decoded = decode_one(base, code)
    if final is not None:
        decoded = with_corrections(base, code, decoded, added=_corrections(path, final, model))
    return _reconstruction(
        code,
        base,
        final_code=final,
        vertices=np.asarray(decoded.vertices),
        reflectance=np.asarray(decoded.reflectance),
        reflectance_corrections=np.zeros_like(decoded.reflectance),
        decoded_in_crop=(np.asarray(decoded.landmarks), np.asarray(decoded.projected)),
        crop_from_photo=saved.crop_from_photo,
        box=saved.box,
        score=saved.score,
        model_version=saved.network,
        source=saved.photo if photo is None else source_of(photo, 0),
        name=saved.name,
        index=saved.face_index,
        photo=_photo(path, photo, saved.photo_size),
    )


def _corrections(path: Path, code: FinalCode, model: BaseModel | FaceModel | None) -> Corrections:
    """F_g and F_r of a code of both levels."""
    sizes = (len(code.geometry), len(code.reflectance))
    model = _learned_model() if model is None else model
    if not isinstance(model, FaceModel) or model.sizes != sizes:
        raise InputError(
            f"{path}: a face with a final level of {sizes} parameters; give the learned model that it was made with"
        )
    return corrections(model, code)


@functools.cache
def _learned_model() -> FaceModel | None:
    """That of the network that the package carries."""
    network = load_network()
    return None if network.final is None else network.face_model()


def _from_npz(path: Path, photo: Any, base: BaseModel) -> Reconstruction:
    fields = read_code_file(path)
    _check_model(path, fields["model_version"].partition(",")[0], base)
    size = tuple(np.clip(np.ceil(fields["projected"].max(axis=0)).astype(int) + 1, 1, 1 << 16)[::-1].tolist())
    picture = _photo(path, photo, size, exact=False)
    return Reconstruction(
        **{name: fields[name] for name in ("vertices", "triangles", "reflectance", "code", "landmarks68", "projected")},
        **{name: fields[name] for name in ("box", "crop_from_photo", "score", "reflectance_corrections")},
        final_code=fields["final_code"],
        model_version=fields["model_version"],
        source=fields["source"] if photo is None else source_of(photo, 0),
        name=Path(fields["source"]).stem,
        index=int(fields["index"]),
        photo=picture,
        model=base,
    )


def _reconstruction(
    code: FaceCode, base: BaseModel, *, decoded_in_crop: tuple[np.ndarray, np.ndarray], **fields: Any
) -> Reconstruction:
    landmarks, projected = (in_photo(fields["crop_from_photo"], points) for points in decoded_in_crop)
    triangles = np.asarray(base.topology.triangles)
    return Reconstruction(
        code=code, model=base, triangles=triangles, landmarks68=landmarks, projected=projected, **fields
    )


def _base_of(model: BaseModel | FaceModel | None) -> BaseModel:
    return load_face_model() if model is None else model.base if isinstance(model, FaceModel) else model


def _check_model(path: Path, name: str, base: BaseModel) -> None:
    if name != base.name:
        raise InputError(
            f"{path}: made with the face model {name}, but this is {base.name}; give the right one or reconstruct again"
        )


def _photo(path: Path, photo: Any, size: tuple[int, int], *, exact: bool = True) -> np.ndarray:
    if photo is None:
        if size[0] * size[1] > MAX_PIXELS:
            raise InputError(f"{path}: its face lies beyond any photo; reconstruct it again")
        return np.zeros((*size, 3), np.uint8)
    picture = read_source(photo, source_of(photo, 0))
    if exact and picture.shape[:2] != size:
        height, width = size
        raise InputError(f"{path}: made from a photo of {width}×{height} pixels; give that photo")
    return picture
