"""The head of a synthetic face at the pixels of its crop: what is seen there, before it is lit."""

from typing import NamedTuple

import cv2
import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.topology import vertex_normals
from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.image_formation.parts import form_parts, joined_rows, joined_triangles, parts_of
from fml_jax.image_formation.points import Points, form_points_of
from fml_jax.image_formation.raster import at_hits, rasterize
from fml_jax.synthetic.hair import Hair
from fml_jax.synthetic.random_codes import RandomFace

_CLOSED = 1.0  # mm between lips that touch
_MARGIN = 30  # pixels beside the crop; triangles with corners farther out are left out


class HeadRaster(NamedTuple):
    """A head with its hair, as points and as the triangles that the crop's pixels show."""

    points: Points  # the head's N vertices, then V of the mouth's parts; reflectance with hair, colours by the code
    triangles: Int[np.ndarray, "T 3"]
    nearest: tuple[Int[np.ndarray, "240 240"], Float[np.ndarray, "240 240 3"]]  # see `rasterize`
    shown: Bool[np.ndarray, "240 240"]  # where the head is
    face: Bool[np.ndarray, "240 240"]  # where the face is, hair over it included
    depth: Float[np.ndarray, "240 240"]  # mm; infinite beside the head
    cover: Float[np.ndarray, "240 240"]  # by hair; 0 beside the head

    def with_parts(self, of_head: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "rows C"]:
        """Attributes of the head's vertices with zeros for the mouth's parts behind them."""
        return np.pad(of_head, ((0, len(self.points.pixels) - len(of_head)), (0, 0)))

    def at_pixels(self, attributes: Float[np.ndarray, "rows C"]) -> Float[np.ndarray, "P C"]:
        """Attributes of the points at the pixels of `shown`, row by row."""
        return at_hits(attributes, self.triangles, self.nearest)


def head_raster(model: BaseModel, face: RandomFace, hair: Hair) -> HeadRaster:
    """Finds what each pixel shows of a head with hair, which lifts the surface."""
    surface = face.vertices, face.reflectance
    points = jax.device_get(
        _form_with_hair(model.topology, face.code, surface, hair.cover, hair.colour, hair.thickness)
    )
    triangles, of_face = np.asarray(model.topology.triangles), np.asarray(model.regions["face"])
    parts = parts_of(model)
    if parts is not None and _mouth_is_open(model, points):
        inner = jax.device_get(form_parts(parts, face.code))
        triangles = joined_triangles(len(points.pixels), triangles, parts)
        of_face = np.concatenate([of_face, np.ones(len(inner.pixels), bool)])
        points = Points(*(_joined(*pair) for pair in zip(points, inner, strict=True)))
    triangles = triangles[_may_show(points, triangles)]
    nearest = rasterize(points.pixels, points.positions[:, 2], triangles, height=CROP_SIZE, width=CROP_SIZE)
    shown = nearest[0] >= 0
    head = HeadRaster(
        points,
        triangles,
        nearest,
        shown,
        _without_holes(shown & of_face[triangles].all(axis=1)[nearest[0]]),
        np.full(shown.shape, np.inf, np.float32),
        np.zeros(shown.shape, np.float32),
    )
    depth = np.column_stack([points.positions[:, 2], head.with_parts(hair.cover[:, None])])
    head.depth[shown], head.cover[shown] = head.at_pixels(depth).T
    return head


def _mouth_is_open(model, points):
    """Whether the lips are apart, so that teeth and tongue may show."""
    landmarks = model.landmarks
    inner = np.asarray(landmarks.ibug_from_mediapipe)[60:68]
    triplets, weights = np.asarray(landmarks.fixed_vertices)[inner], np.asarray(landmarks.fixed_weights)[inner]
    lips = np.einsum("lkc,lk->lc", points.positions[triplets], weights)
    return np.linalg.norm(lips[[1, 2, 3]] - lips[[7, 6, 5]], axis=1).max() > _CLOSED


def _without_holes(face):
    """The pixels of the face with the few that show its nostrils and the rims of its eyelids."""
    return cv2.morphologyEx(face.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8)) > 0


def _joined(first, second):
    """Rows of the head with rows of the parts behind them, of one or two axes."""
    return joined_rows(first, second) if first.ndim == 2 else np.concatenate([first, second])


def _may_show(points, triangles):
    """[T] bool: triangles near the crop that are turned to the camera, or nearly so."""
    inside = (np.abs(points.pixels - CROP_SIZE / 2) < CROP_SIZE / 2 + _MARGIN).all(axis=1)
    turned = points.normals[:, 2] < 0.3
    return (inside & turned)[triangles].any(axis=1)


@jax.jit
def _form_with_hair(topology, code: FaceCode, surface, cover, colour, thickness):
    """The points of a face with hair, which covers the skin and lifts the surface by its thickness (mm)."""
    vertices, skin = surface
    vertices = vertices + thickness * cover[:, None] * vertex_normals(topology, vertices)
    return form_points_of(topology, vertices, skin + cover[:, None] * (colour - skin), code=code)
