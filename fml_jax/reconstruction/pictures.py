"""Pictures of a reconstruction: on its photo, and its geometry, reflectance and shading by themselves."""

import operator
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.errors import InputError
from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.image_formation.drawing import Paint, Raster, clay, painted, picture_raster
from fml_jax.photos.crops import apply_affine, crop_photo
from fml_jax.reconstruction.head_view import HeadView, head_view

PAINTED = ("overlay", "changed", "geometry", "reflectance", "shading")  # pictures of the mesh
_WHITE_SKIN = 0.8
KINDS = ("photo", "landmarks", *PAINTED)
SIZES = (16, 4096)  # pixels, the smallest and the largest picture


def render(face: Any, kind: str = "overlay", size: int | None = None) -> UInt8[np.ndarray, "size size 3"]:
    """One picture of a reconstruction's crop.

    Args:
      face: a `Reconstruction`.
      kind: "photo" (the crop), "overlay" (the lit face on it but skull, ears, neck and mouth),
        "changed" (the same with the model's mouth, for faces whose light or expression was changed), "geometry" (grey
        clay), "reflectance", "shading" (the light on white skin, or on a darker one if white would be overexposed),
        "landmarks" (the 68 on the crop).
      size: pixels; None is the crop's own 240.

    Raises:
      InputError: an unknown kind, or a size that is no whole number within SIZES.
    """
    return render_all(face, (kind,), size)[kind]


def render_all(
    face: Any, kinds: Sequence[str] = KINDS, size: int | None = None
) -> dict[str, UInt8[np.ndarray, "size size 3"]]:
    """Several pictures by kind, as `render` makes them; the mesh is rasterised once for all.

    Raises:
      InputError: as `render`.
    """
    return Pictures(face).rendered(kinds, size)


class Pictures:
    """The pictures of one `Reconstruction`, which is not changed meanwhile.

    The mesh is rasterised once for a size, and a picture that was painted is kept.
    """

    def __init__(self, face: Any) -> None:
        self._face = face
        self._rasters: dict[int, Raster] = {}
        self._kept: dict[tuple[str, int], np.ndarray] = {}

    def rendered(
        self, kinds: Sequence[str] = KINDS, size: int | None = None
    ) -> dict[str, UInt8[np.ndarray, "size size 3"]]:
        """Pictures by kind, as `render` makes them.

        Raises:
          InputError: as `render`.
        """
        for kind in kinds:
            if kind not in KINDS:
                raise InputError(f"kind {kind!r} is unknown; choose one of {', '.join(KINDS)}")
        size, face = CROP_SIZE if size is None else _checked_size(size), self._face
        crop = crop_photo(face.photo, _scaled(face.crop_from_photo, size), size)
        pictures = {"photo": crop, "landmarks": _with_landmarks(crop, face, size)}
        if painted := [kind for kind in kinds if kind in PAINTED]:
            pictures |= self._painted(painted, crop, size)
        return {kind: pictures[kind] for kind in kinds}

    def _painted(self, kinds: Sequence[str], crop: np.ndarray, size: int) -> dict[str, np.ndarray]:
        """The mesh over the crop or over a plain ground."""
        view = self._view
        if size not in self._rasters:
            self._rasters[size] = picture_raster(view.pixels, view.positions[:, 2], view.triangles, size=size)
        new = [kind for kind in kinds if (kind, size) not in self._kept]
        paints = {kind: _paint(view, kind, len(self._face.vertices), crop) for kind in new}
        pictures = painted(paints, self._rasters[size]) if new else {}
        self._kept |= {(kind, size): picture for kind, picture in pictures.items()}
        return {kind: self._kept[kind, size] for kind in kinds}

    @cached_property
    def _view(self) -> HeadView:
        return head_view(self._face)


def _checked_size(size: Any) -> int:
    try:
        number = operator.index(size)
    except TypeError:
        number = 0
    if not SIZES[0] <= number <= SIZES[1]:
        raise InputError(f"size={size!r} is no size of a picture; give a whole number from {SIZES[0]} to {SIZES[1]}")
    return number


def _paint(view: HeadView, kind: str, own: int, crop: np.ndarray) -> Paint:
    """One picture's paint of a head, whose own vertices are the first `own`, and the inside of its mouth."""
    if kind == "geometry":
        return Paint(view.shade * clay(view.normals))
    if kind == "reflectance":
        return Paint(view.reflectance)
    colours = view.light * view.reflectance
    if kind == "shading":
        light = view.light[:own]
        colours[:own] = light * _skin_not_overexposed(light[view.normals[:own, 2] < 0])
        return Paint(colours)
    opacity = view.shown.copy()  # on the photo, teeth and tongue leave the photo's own visible
    opacity[own:] = kind == "changed"
    return Paint(colours, crop / np.float32(255), opacity)


def _skin_not_overexposed(light):
    """White skin's reflectance, or the lightest one that is not overexposed under a light [V, 3]."""
    return min(_WHITE_SKIN, 1 / max(np.quantile(light, 0.98), 1e-6))


def _with_landmarks(crop, face, size):
    picture = crop.copy()
    for x, y in apply_affine(_scaled(face.crop_from_photo, size), face.landmarks68):
        cv2.circle(picture, (round(x), round(y)), max(2, size // 120), (40, 230, 90), -1, cv2.LINE_AA)
    return picture


def _scaled(crop_from_photo: Float[np.ndarray, "2 3"], size: int) -> Float[np.ndarray, "2 3"]:
    """The affine to the same crop with `size` pixels (pixel centres at whole numbers)."""
    factor = size / CROP_SIZE
    scaled = crop_from_photo * factor
    scaled[:, 2] += (factor - 1) / 2
    return scaled
