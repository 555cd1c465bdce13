"""How the files of each format are written."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from jaxtyping import Float, UInt8

from fml_jax.export.buffers import photo_buffers
from fml_jax.export.cameras import write_camera
from fml_jax.export.code_files import write_code_file
from fml_jax.export.compact_code import compact_face, encoded
from fml_jax.export.formats import BUFFERS, FORMATS, TEXTURES
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


# Writes a format's files of a face into paths by ending. Files may refer to each other by their final names, which are
# the stem (the third argument) and an ending.
Writer = Callable[[Contents, dict[str, Path], str], None]


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


def _compact_writer(ending: str, *, quantised: bool) -> Writer:
    def write(contents: Contents, paths: dict[str, Path], stem: str) -> None:
        face = contents.face
        if np.any(face.reflectance_corrections):
            logging.warning(
                "%s%s: without the refinement's corrections of single vertices; npz, glb, obj and ply have them",
                stem,
                ending,
            )
        paths[ending].write_bytes(encoded(compact_face(face), quantised=quantised))

    return write


def _buffer_writer(kind: str) -> Writer:
    return lambda contents, paths, stem: write_png(paths[FORMATS[kind][0]], contents.buffers[kind])


WRITERS: dict[str, Writer] = {
    "npz": _write_npz,
    "glb": _write_glb,
    "obj": _write_obj,
    "ply": _write_ply,
    "fml": _compact_writer(".fml", quantised=False),
    "fml_small": _compact_writer("_small.fml", quantised=True),
    "overlay": _write_overlay,
    "camera": _write_camera,
    **{kind: _buffer_writer(kind) for kind in BUFFERS},
}


def prepare(model: BaseModel, formats: Iterable[str]) -> None:
    """Makes what the files of all faces of a model share, which takes a second; else the first face's files do."""
    parts_of(model)
    if shapes := named_shapes(model):
        shapes.weights(np.zeros(shapes.codes.shape[1]))  # which imports the solver
    if {"glb", "obj"} & set(formats):
        atlas_of(model)
        drawn_parts(model)
        import fml_jax.export.glb  # noqa: F401 (its library takes a tenth of a second to import)


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
    contents = Contents(face, [name for name in formats if name in BUFFERS], texture, pictures=pictures)
    for name in formats:
        WRITERS[name](contents, paths, stem)
