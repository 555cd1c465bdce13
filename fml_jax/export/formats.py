"""The formats that a face can be saved in: the files of each, and how they are written."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Float, UInt8

from fml_jax.errors import InputError
from fml_jax.export.buffers import KINDS, photo_buffers
from fml_jax.export.cameras import write_camera
from fml_jax.export.code_files import write_code_file
from fml_jax.export.compact_code import compact_face, encoded
from fml_jax.export.head import head_of
from fml_jax.export.meshes import write_material, write_obj, write_ply
from fml_jax.export.photo_texture import photo_texture
from fml_jax.export.png import as_jpeg, write_png
from fml_jax.export.textures import atlas_of
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.topology import mesh_normals
from fml_jax.fitting.named_shapes import named_shapes
from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.image_formation.parts import drawn_parts, parts_of
from fml_jax.ops.images import eight_bits
from fml_jax.reconstruction.pictures import Pictures

OVERLAY_SIZES = (240, 480)  # pixels a side, the smallest and the largest
TEXTURES = ("reflectance", "photo")
DEFAULT = ("npz", "glb", "overlay")  # all numbers, a head for other programs, a look


class Contents:
    """A `Reconstruction` and what its files share, each part made when the first file needs it."""

    def __init__(
        self,
        face: Any,
        buffers: Sequence[str] = (),
        texture: str = TEXTURES[0],
        *,
        pictures: Pictures | None = None,
    ) -> None:
        """
        Args:
          buffers: the kinds of pictures of 16 bits that will be written.
          texture: one of `TEXTURES`.
          pictures: of the face, if others are made as well.
        """
        self.face, self.pictures = face, pictures or Pictures(face)
        self._buffers, self._texture = buffers, texture

    @cached_property
    def texture(self) -> UInt8[np.ndarray, "S S 3"]:
        """The reflectance in the layout of the model's texture coordinates, completed from the photo if wished."""
        if self._texture == "photo":
            return photo_texture(self.face)
        return eight_bits(atlas_of(self.face.model).baked(self.face.reflectance))

    @cached_property
    def normals(self) -> Float[np.ndarray, "N 3"]:
        """Of the vertices, in model space."""
        return mesh_normals(np.asarray(self.face.triangles), np.asarray(self.face.vertices))

    @cached_property
    def buffers(self) -> dict[str, np.ndarray]:
        """Pictures of 16 bits by kind."""
        return photo_buffers(self.face, self._buffers)


class Format(NamedTuple):
    """The files of a format: their endings, and the writer of a face's `Contents` into paths by ending.

    Files may refer to each other by their final names, which are `stem` and an ending.
    """

    endings: tuple[str, ...]
    write: Callable[[Contents, dict[str, Path], str], None]


def _write_npz(contents: Contents, paths: dict[str, Path], stem: str) -> None:
    write_code_file(paths[".npz"], contents.face)


def _write_glb(contents: Contents, paths: dict[str, Path], stem: str) -> None:
    from fml_jax.export.glb import write_glb  # its library takes a tenth of a second to import

    face = contents.face
    about = {"photo": face.source, "face": face.index, "face_model": face.model.name}
    write_glb(paths[".glb"], head_of(face), jpeg=as_jpeg(contents.texture), extras=about)


def _write_obj(contents: Contents, paths: dict[str, Path], stem: str) -> None:
    face, model = contents.face, contents.face.model
    write_obj(
        paths[".obj"],
        face.vertices,
        np.asarray(face.triangles),
        uv=np.asarray(model.uv),
        uv_triangles=np.asarray(model.uv_triangles),
        colours=face.reflectance,
        normals=contents.normals,
        material_file=f"{stem}.mtl",
    )
    write_material(paths[".mtl"], texture=f"{stem}_texture.png")
    write_png(paths["_texture.png"], contents.texture)


def _write_ply(contents: Contents, paths: dict[str, Path], stem: str) -> None:
    face = contents.face
    write_ply(paths[".ply"], face.vertices, np.asarray(face.triangles), colours=face.reflectance)


def _write_overlay(contents: Contents, paths: dict[str, Path], stem: str) -> None:
    face = contents.face
    size = int(np.clip(round(CROP_SIZE / math.hypot(*face.crop_from_photo[:, 0])), *OVERLAY_SIZES))  # the photo's own
    write_png(paths["_overlay.png"], contents.pictures.rendered(("overlay",), size)["overlay"])


def _write_camera(contents: Contents, paths: dict[str, Path], stem: str) -> None:
    write_camera(paths["_camera.json"], contents.face)


def _compact_format(ending: str, *, quantised: bool) -> Format:
    def write(contents: Contents, paths: dict[str, Path], stem: str) -> None:
        face = contents.face
        if np.any(face.reflectance_corrections):
            logging.warning(
                "%s%s: without the refinement's corrections of single vertices; npz, glb, obj and ply have them",
                stem,
                ending,
            )
        paths[ending].write_bytes(encoded(compact_face(face), quantised=quantised))

    return Format((ending,), write)


def _buffer_format(kind: str) -> Format:
    ending = f"_{kind}.png"
    return Format((ending,), lambda contents, paths, stem: write_png(paths[ending], contents.buffers[kind]))


FORMATS: dict[str, Format] = {
    "npz": Format((".npz",), _write_npz),
    "glb": Format((".glb",), _write_glb),
    "obj": Format((".obj", ".mtl", "_texture.png"), _write_obj),
    "ply": Format((".ply",), _write_ply),
    "fml": _compact_format(".fml", quantised=False),
    "fml_small": _compact_format("_small.fml", quantised=True),
    "overlay": Format(("_overlay.png",), _write_overlay),
    "camera": Format(("_camera.json",), _write_camera),
    **{kind: _buffer_format(kind) for kind in KINDS},
}
FILE_SUFFIXES = ("npz", "glb", "obj", "ply", "fml")  # formats that a file's own name can ask for
ALL_ENDINGS = tuple(ending for each in FORMATS.values() for ending in each.endings)


def prepare(model: BaseModel, formats: Iterable[str]) -> None:
    """Makes what the files of all faces of a model share, which takes a second; else the first face's files do."""
    parts_of(model)
    named_shapes(model)
    if {"glb", "obj"} & set(formats):
        atlas_of(model)
        drawn_parts(model)
        import fml_jax.export.glb  # noqa: F401 (its library takes a tenth of a second to import)


def checked_formats(names: Iterable[str]) -> tuple[str, ...]:
    """Names of formats, each once, in the order of `FORMATS`, so that the same wishes give the same files.

    Raises:
      InputError: there is none, or one is unknown.
    """
    wanted = list(names)
    for name in wanted:
        if name not in FORMATS:
            raise InputError(f"format {name!r} is unknown; choose from {', '.join(FORMATS)}")
    if not wanted:
        raise InputError(f"no format is given; choose from {', '.join(FORMATS)}")
    return tuple(name for name in FORMATS if name in wanted)


def endings_of(formats: Iterable[str]) -> tuple[str, ...]:
    """The endings of all files of some formats."""
    return tuple(ending for name in formats for ending in FORMATS[name].endings)


def checked_texture(name: str) -> str:
    """One of `TEXTURES`.

    Raises:
      InputError: it is another name.
    """
    if name not in TEXTURES:
        raise InputError(f"texture {name!r} is unknown; choose one of {', '.join(TEXTURES)}")
    return name


def write_formats(
    face: Any,
    formats: Sequence[str],
    paths: dict[str, Path],
    *,
    stem: str,
    texture: str = TEXTURES[0],
    pictures: Pictures | None = None,
) -> None:
    """Writes a `Reconstruction` in some formats.

    Args:
      paths: by ending, for all endings of the formats.
      stem: the first part of the files' final names.
      texture: of glb and obj, one of `TEXTURES`.
      pictures: of the face, if others are made as well.

    Raises:
      OSError: a file cannot be written.
    """
    contents = Contents(face, [name for name in formats if name in KINDS], texture, pictures=pictures)
    for name in formats:
        FORMATS[name].write(contents, paths, stem)
