"""The faces of a clip drawn on its frames, fast: the visible triangles alone, and no finer than the frame."""

from typing import NamedTuple

import cv2
import jax
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel
from fml_jax.image_formation.drawing import shown_on_photos
from fml_jax.image_formation.points import form_points
from fml_jax.image_formation.raster import interpolate, rasterize
from fml_jax.photos.crops import apply_affine, invert_affine
from fml_jax.video.clip_face import ClipFace, code_at

_LARGEST = 320  # pixels a side that are drawn; larger faces are enlarged from it
_SOFT_EDGE = 5  # pixels over which the drawn face fades into the frame


class _Window(NamedTuple):
    """The part of a frame in which a face is drawn."""

    x: int
    y: int
    width: int
    height: int


class Overlay:
    """Draws one person."""

    def __init__(self, face: ClipFace) -> None:
        self._face = face
        self._places = {int(frame): k for k, frame in enumerate(face.frames)}
        shown = shown_on_photos(face.model)[:, 0] > 0
        self._triangles = face.triangles[shown[face.triangles].all(axis=1)]
        self._back = invert_affine(face.crop_from_photo)

    def draw(self, number: int, rgb: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """The frame of a number with the lit face on it; the frame as it is where the person is not seen."""
        if number not in self._places:
            return rgb
        code = code_at(self._face.code, self._places[number])
        pixels, depth, colours, ahead = jax.device_get(_formed(self._face.shown_model, code))
        places = apply_affine(self._back, pixels.astype(np.float64))
        triangles = self._triangles[ahead[self._triangles].all(axis=1)]
        window = _window(places[np.unique(triangles)], *rgb.shape[:2])
        if window is None:
            return rgb
        return _blended(rgb, window, places, depth, colours=colours, triangles=triangles)


@jax.jit
def _formed(model: BaseModel, code: FaceCode) -> tuple[jax.Array, ...]:
    points = form_points(model, code)
    ahead = (points.positions * points.normals).sum(axis=1) < 0
    return points.pixels, points.positions[:, 2], points.colours, ahead


def _window(places: Float[np.ndarray, "V 2"], height: int, width: int) -> _Window | None:
    """The box about some places, cut to the frame; None if nothing of it is in the frame."""
    if not len(places):
        return None
    low = np.clip(np.floor(places.min(axis=0)) - 1, 0, [width, height]).astype(int)
    high = np.clip(np.ceil(places.max(axis=0)) + 2, 0, [width, height]).astype(int)
    return _Window(*low.tolist(), *(high - low).tolist()) if (high > low).all() else None


def _blended(rgb, window, places, depth, *, colours, triangles):
    x, y, width, height = window
    scale = min(1.0, _LARGEST / max(width, height))
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    inside = (places - [x, y] + 0.5) * [size[0] / width, size[1] / height] - 0.5
    raster = rasterize(inside, depth, triangles, height=size[1], width=size[0])
    drawn = interpolate(np.clip(colours, 0, 1), triangles, raster)
    cover = (raster[0] >= 0).astype(np.float32)
    layer = cv2.resize(np.dstack([drawn, cover]), (width, height), interpolation=cv2.INTER_LINEAR)
    # Colours are blurred with their cover, and divided by it, so that the edge does not become dark.
    soft = cv2.blur(layer[..., 3], (_SOFT_EDGE, _SOFT_EDGE))[..., None] * layer[..., 3:]
    colour = layer[..., :3] / np.maximum(layer[..., 3:], 1e-3)
    result = rgb.copy()
    part = result[y : y + height, x : x + width]
    part[:] = (255 * soft * colour + (1 - soft) * part + 0.5).astype(np.uint8)
    return result
