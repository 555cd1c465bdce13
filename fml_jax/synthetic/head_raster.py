"""The head of a synthetic face at the pixels of its crop: what is seen there, before it is lit."""

from typing import NamedTuple

import cv2
import jax
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.topology import vertex_normals
from fml_jax.image_formation.camera import CROP_SIZE, project, to_camera
from fml_jax.image_formation.parts import parts_geometry, parts_of
from fml_jax.image_formation.raster import seen_triangles, shares_at_hits
from fml_jax.synthetic.hair import Hair
from fml_jax.synthetic.random_codes import RandomFace

_CLOSED = 1.0  # mm between lips that touch
_BESIDE_LIPS = 4  # pixels beside the inner lips' bounding box in which the mouth's parts are drawn


class _Points(NamedTuple):
    """Vertices as the camera sees them."""

    positions: Float[np.ndarray, "rows 3"]  # camera space, mm
    pixels: Float[np.ndarray, "rows 2"]
    normals: Float[np.ndarray, "rows 3"]  # unit, camera axes
    reflectance: Float[np.ndarray, "rows 3"]


class HeadRaster(NamedTuple):
    """A head with its hair, as points and as what the P pixels of the crop that show it have of them."""

    positions: Float[np.ndarray, "rows 3"]  # camera space, mm: the head's N vertices, then those of the mouth's parts
    normals: Float[np.ndarray, "rows 3"]  # unit, camera axes
    reflectance: Float[np.ndarray, "rows 3"]  # with hair
    seen: Int[np.ndarray, "U"]  # the rows of corners that pixels show, ascending
    shares: csr_array  # [P, U], of these in the pixels of `shown`, row by row
    shown: Bool[np.ndarray, "240 240"]  # where the head is
    face: Bool[np.ndarray, "240 240"]  # where the face is, hair over it included
    depth: Float[np.ndarray, "240 240"]  # mm; infinite beside the head
    cover: Float[np.ndarray, "240 240"]  # by hair; 0 beside the head

    def of_seen(self, of_head: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "U C"]:
        """The attributes of seen points from those of the head's vertices; zeros for the mouth's parts."""
        on_head = self.seen[: np.searchsorted(self.seen, len(of_head))]
        found = np.zeros((len(self.seen), of_head.shape[1]), np.float32)
        found[: len(on_head)] = of_head[on_head]
        return found

    def at_pixels(self, attributes: Float[np.ndarray, "U C"]) -> Float[np.ndarray, "C P"]:
        """Attributes of the seen points at the pixels of `shown`, row by row; a plane for each attribute."""
        return np.ascontiguousarray((self.shares @ np.asarray(attributes, np.float32)).T)


def head_raster(model: BaseModel, face: RandomFace, hair: Hair) -> HeadRaster:
    """Finds what each pixel shows of a head with hair, which lifts the surface."""
    points = _with_hair(model, face, hair)
    triangles, of_face = np.asarray(model.topology.triangles), np.asarray(model.regions["face"])
    parts, lips = parts_of(model), _inner_lips(model, points)
    if parts is not None and _are_open(lips):
        inner, drawn = _mouth(parts, face.code, lips)
        triangles = np.concatenate([triangles, drawn + len(points.pixels)])
        of_face = np.concatenate([of_face, np.ones(len(inner.pixels), bool)])
        points = _Points(*(np.concatenate(pair) for pair in zip(points, inner, strict=True)))
    # A head is closed: triangles that show their backs are behind others.
    raster = seen_triangles(
        points.pixels, points.positions[:, 2], triangles, height=CROP_SIZE, width=CROP_SIZE, front_only=True
    )
    shown = raster.number >= 0
    seen, shares = _compact(shares_at_hits(raster, triangles, len(points.pixels)))
    a, b, c = triangles[raster.triangles].T
    face_triangles = of_face[a] & of_face[b] & of_face[c]
    head = HeadRaster(
        points.positions,
        points.normals,
        points.reflectance,
        seen,
        shares,
        shown,
        _without_holes(shown & face_triangles[raster.number]),
        np.full(shown.shape, np.inf, np.float32),
        np.zeros(shown.shape, np.float32),
    )
    depth = np.column_stack([points.positions[seen, 2:], head.of_seen(hair.cover[:, None])])
    head.depth[shown], head.cover[shown] = head.at_pixels(depth)
    return head


def _with_hair(model, face: RandomFace, hair: Hair) -> _Points:
    """The points of a face with hair, which covers the skin and lifts the surface by its thickness."""
    lift = hair.thickness * hair.cover
    positions, pixels = _lifted(model.topology, face.vertices, face.code, lift)
    normals = _NORMALS(model.topology, positions)  # in one program with the positions, these would be computed anew
    skin = np.asarray(face.reflectance)
    reflectance = skin + hair.cover[:, None] * (hair.colour - skin)
    return _Points(np.asarray(positions), np.asarray(pixels), np.asarray(normals), reflectance)


def _inner_lips(model, points: _Points) -> Float[np.ndarray, "8 5"]:
    """iBUG's points 60 to 67 in camera space, mm, and their pixels."""
    landmarks = model.landmarks
    inner = np.asarray(landmarks.ibug_from_mediapipe)[60:68]
    triplets, weights = np.asarray(landmarks.fixed_vertices)[inner], np.asarray(landmarks.fixed_weights)[inner]
    corners = np.concatenate([points.positions[triplets], points.pixels[triplets]], axis=2)
    return np.einsum("lkc,lk->lc", corners, weights)


def _are_open(lips):
    """Whether the lips are apart, so that teeth and tongue may show."""
    return np.linalg.norm(lips[[1, 2, 3], :3] - lips[[7, 6, 5], :3], axis=1).max() > _CLOSED


def _mouth(parts, code, lips) -> tuple[_Points, Int[np.ndarray, "T 3"]]:
    """The points of the mouth's parts, and those triangles that may show between the lips."""
    positions, pixels = (np.asarray(each) for each in _placed(parts, code))
    low, high = lips[:, 3:].min(axis=0) - _BESIDE_LIPS, lips[:, 3:].max(axis=0) + _BESIDE_LIPS
    between_x, between_y = ((pixels > low) & (pixels < high)).T
    a, b, c = (between_x & between_y)[parts.triangles.T]
    triangles = parts.triangles[a | b | c]
    reflectance = np.asarray(parts.shade)[:, None] * np.asarray(parts.reflectance)
    return _Points(positions, pixels, np.asarray(_NORMALS(parts.topology, positions)), reflectance), triangles


def _compact(shares):
    """The columns of shares that are not empty, and the shares with these columns alone."""
    used = np.zeros(shares.shape[1], bool)
    used[shares.indices] = True
    columns = np.flatnonzero(used)
    number = np.cumsum(used) - 1
    return columns, csr_array((shares.data, number[shares.indices], shares.indptr), (shares.shape[0], len(columns)))


def _without_holes(face):
    """The pixels of the face with the few that show its nostrils and the rims of its eyelids."""
    return cv2.morphologyEx(face.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8)) > 0


_NORMALS = jax.jit(vertex_normals)


@jax.jit
def _lifted(topology, vertices, code: FaceCode, lift):
    """Vertices moved along their normals by `lift` [N], mm: in camera space, and their pixels."""
    return _in_camera(vertices + lift[:, None] * vertex_normals(topology, vertices), code)


@jax.jit
def _placed(parts, code: FaceCode):
    """The mouth's parts in camera space, and their pixels."""
    return _in_camera(parts_geometry(parts, code), code)


def _in_camera(vertices, code):
    positions = to_camera(vertices, code.rotation, code.translation)
    return positions, project(positions)
