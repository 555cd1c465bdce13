"""The reconstruction of one face: its fields, pictures and files."""

import copy
import importlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.codes import FaceCode, FinalCode
from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel
from fml_jax.files import checked_path
from fml_jax.image_formation.rotation import head_angles
from fml_jax.photos.crops import apply_affine, invert_affine
from fml_jax.reconstruction import editing, levels
from fml_jax.reconstruction.masks import unoccluded_photo
from fml_jax.reconstruction.other_model import FaceInModel, in_model
from fml_jax.reconstruction.pickling import packed, unpacked
from fml_jax.reconstruction.pictures import render

LEVELS = BASE, FINAL = "base", "final"

# The function behind `Reconstruction.save`, as module and name. It is imported when a face is saved, because `export`
# imports this module, which works without it.
WRITER = ("fml_jax.export.saving", "save_reconstruction")
VIEWER_WRITER = ("fml_jax.export.viewer", "write_viewer")  # likewise, of `Reconstruction.viewer`


@dataclass(repr=False, eq=False)
class Reconstruction:
    """One face of one photo.

    Model space is in mm (x to the subject's left, y up, z out of the face); absolute size and
    distance depend on the assumed focal length, which one photo does not determine.

    A pickle has about a megabyte: it refers to the model that the package carries, and keeps of the photo the part
    that shows the face (the rest becomes black, and a large face loses resolution). `copy.deepcopy` copies the arrays
    and shares the model.
    """

    vertices: np.ndarray  # [N, 3] mm, model space
    triangles: np.ndarray  # [T, 3]
    reflectance: np.ndarray  # [N, 3] sRGB-encoded, about [0, 1] but not clipped; r_b(β) plus F_r where there is one
    code: FaceCode  # of the base level, with the light of the last level
    landmarks68: np.ndarray  # [68, 2] pixels of the photo
    projected: np.ndarray  # [N, 2] pixels of the photo: the vertices
    box: np.ndarray  # [4] x0, y0, x1, y1, pixels of the photo, as detected or given
    crop_from_photo: np.ndarray  # [2, 3] affine to the crop of the camera
    score: float  # [0, 1]; under 0.5 the crop does not look like a well-framed face
    reflectance_corrections: np.ndarray  # F_r, [N, 3]: what refinement adds to the code's reflectance; else 0
    model_version: str
    source: str  # the photo's path; "photo N" for the N-th of a call if it was given as an array
    name: str  # the stem of its files: unlike those of the other photos of its call
    index: int  # which face of the photo, 0 the largest
    photo: np.ndarray  # [H, W, 3] uint8
    model: BaseModel
    # [68] pixels of the photo by which the network expects its landmarks to be off; None after refinement, and of
    # networks without local stages.
    landmark_uncertainty: np.ndarray | None = None
    final_code: FinalCode | None = None  # both levels' codes; None where there is no final level
    # [60, 60] places of the crop, in [0, 1]: whether no object hides the face there; None for networks that do not
    # predict it. `mask` has it in the photo's pixels.
    unoccluded: np.ndarray | None = None

    def __repr__(self) -> str:
        place = ", ".join(f"{number:.0f}" for number in self.box)
        return f"Reconstruction({self.source!r}, face {self.index}, box ({place}), score {self.score:.2f})"

    @property
    def rotation(self) -> Float[np.ndarray, "3"]:
        """Axis-angle of R, radians; (π, 0, 0) faces the camera."""
        return np.asarray(self.code.rotation)

    @property
    def translation(self) -> Float[np.ndarray, "3"]:
        """t, mm, in the crop's camera."""
        return np.asarray(self.code.translation)

    @property
    def illumination(self) -> Float[np.ndarray, "9 3"]:
        """γ."""
        return np.asarray(self.code.illumination)

    @cached_property
    def angles(self) -> tuple[float, float, float]:
        """(yaw, pitch, roll) in degrees within the crop, zero facing the camera."""
        yaw, pitch, roll = head_angles(self.rotation[None])[0].tolist()
        return yaw, pitch, roll

    @property
    def mask(self) -> Float[np.ndarray, "H W"]:
        """The probability, for each pixel of the photo, that no object hides the face there: hands, hair, glasses, …

        It is 1 beyond the crop, and everywhere for networks that predict no occlusion.
        """
        return unoccluded_photo(self.unoccluded, self.crop_from_photo, self.photo.shape[:2])

    def level(self, name: str) -> "Reconstruction":
        """This face at one level: "base" is the face model's own span, "final" has the learned corrections.

        A face without a final level is its own base level. Corrections of a refinement belong to the final level.

        Raises:
          InputError: another name, or "final" for a face without a final level.
        """
        if name not in LEVELS:
            raise InputError(f"level {name!r} is unknown; choose one of {', '.join(LEVELS)}")
        if name == FINAL and self.final_code is None:
            raise InputError(f"{self.source}: this face has no final level; its network predicts the base level alone")
        return self if name == FINAL else levels.base_level(self)

    @property
    def expression_weights(self) -> dict[str, float]:
        """How far each of ARKit's named shapes is activated, in [0, 1]; see `reconstruction.editing`."""
        return editing.expression_weights(self)

    def relit(self, light: Any) -> "Reconstruction":
        """This face under γ [9, 3], another face's light, or a lamp in a direction (x right, y up, z to the viewer).

        See `editing.relit`.
        """
        return editing.relit(self, light)

    def with_expression(self, expression: Any) -> "Reconstruction":
        """This person with another face's expression, or with weights {"jawOpen": 1.0}; see `editing.with_expression`.

        Raises:
          InputError: a face of another model, or an unknown shape.
        """
        return editing.with_expression(self, expression)

    def in_model(self, path: str | Path) -> FaceInModel:
        """This face in another model: the nearest of its span, with the residual in mm; see `other_model.in_model`.

            face.in_model("flame.npz").face.save("face.obj")

        Raises:
          InputError: no such file, or it is no face model.
        """
        return in_model(self, checked_path(path))

    def render(self, kind: str = "overlay", size: int | None = None) -> UInt8[np.ndarray, "size size 3"]:
        """A picture of the crop; see `reconstruction.pictures.render`."""
        return render(self, kind, size)

    def save(
        self,
        target: str | Path,
        stem: str | None = None,
        *,
        formats: Iterable[str] | str | None = None,
        texture: str = "reflectance",
        overwrite: bool = False,
    ) -> list[Path]:
        """Writes this face into one file (face.glb, face.obj, …), or its files into a folder, made if missing.

        See `export.save_reconstruction`.

        Args:
          target: a file whose ending names its format, or a folder.
          stem: in a folder, the first part of the files' names, followed by the face's index; None is `name`.
          formats: in a folder, names of `export.FORMATS`; None is npz, glb and overlay.
          texture: of glb and obj: "reflectance", or "photo", completed from the photo where it shows skin.
          overwrite: in a folder, replace files of these names even if they are those of another face.

        Returns:
          The paths of the files.

        Raises:
          InputError: the target's path is empty, a format is unknown, or the files cannot be written or are another
            face's.
        """
        write = getattr(importlib.import_module(WRITER[0]), WRITER[1])
        return write(self, checked_path(target), stem, formats=formats, texture=texture, overwrite=overwrite)

    def viewer(self, path: str | Path) -> Path:
        """Writes one HTML file, of about 2.5 MB, that shows this face in 3D in a browser, without a network.

        Args:
          path: of the file; its folder is made if missing.

        Returns:
          The file's path.

        Raises:
          InputError: the path is empty, or the file cannot be written.
        """
        write = getattr(importlib.import_module(VIEWER_WRITER[0]), VIEWER_WRITER[1])
        return write(path, [self])

    def __getstate__(self) -> dict[str, Any]:
        return packed(self._fields())

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(unpacked(state))

    def __copy__(self) -> "Reconstruction":
        return type(self)(**self._fields())

    def __deepcopy__(self, memo: dict) -> "Reconstruction":
        memo[id(self.model)] = self.model
        return type(self)(**{name: copy.deepcopy(value, memo) for name, value in self._fields().items()})

    def _fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def in_photo(
    crop_from_photo: Float[np.ndarray, "2 3"], points: Float[np.ndarray, "*batch 2"]
) -> Float[np.ndarray, "*batch 2"]:
    """Crop pixels as pixels of the photo."""
    return apply_affine(invert_affine(crop_from_photo), np.asarray(points, np.float64))
