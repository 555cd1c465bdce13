"""Heads as GLB, the binary form of glTF 2.0: surfaces with morph targets, in metres, y up, the face along +z."""

import json
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pygltflib as gltf
from jaxtyping import Float

from fml_jax.export.head import EYES, Head, Shapes, Surface
from fml_jax.ops.modes import weighted_sum_plain

_METRES = 1e-3  # of a millimetre
# mm: smaller displacements by a named shape are left out, which makes the file half as large. Teeth and gums keep still
# but for the jaw; in the scans behind the shapes, heads moved a little. The last target holds all that is left out, so
# the face's own mesh is exact.
_LEAST_MOVE = {"teeth": 1.0, "gums_and_tongue": 1.0, "mouth_lining": 0.5}
_ELSE_MOVE = 0.1
_ROUGHNESS = {"skin": 0.6, EYES: 0.15, "teeth": 0.3}
_ELSE_ROUGH = 0.5
_VERSION = "2.0"


class Animation(NamedTuple):
    """How a head moves before a camera that looks along −z, in T frames."""

    times: np.ndarray  # [T] seconds, ascending
    rotation: np.ndarray  # [T, 4] unit quaternions x, y, z, w
    translation: np.ndarray  # [T, 3] mm
    weights: np.ndarray  # [T, K] of the head's targets
    view_angle: float  # of the camera from top to bottom, radians; its picture is a square


def write_glb(
    path: Path, head: Head, *, jpeg: bytes, extras: dict[str, Any], animation: Animation | None = None
) -> None:
    """Writes a head with one mesh, whose primitives are its surfaces.

    Args:
      animation: of the mesh; a camera is written with it.
      jpeg: the texture of the surfaces that have texture coordinates, sRGB-encoded.
      extras: JSON values kept in the file's `asset`.

    Raises:
      OSError: the file cannot be written.
    """
    path.write_bytes(_Glb().encoded(head, jpeg, extras, animation))


_PLAIN = {bool, int, float, str}


class _Filled(dict):
    """A part of a document without empty fields, which all heads of a face model share."""


def _contained(document: str, chunks: list[bytes]) -> bytes:
    """The container of a document and its binary chunk; the library's own takes ten times as long for both."""
    text, length = document.encode(), sum(map(len, chunks))
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sII", gltf.MAGIC, gltf.GLTF_VERSION, 12 + 8 + len(text) + 8 + length)
    return b"".join([head, struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", length, b"BIN"), *chunks])


def _filled_fields(value: Any) -> Any:
    """A part of a document as dicts and lists, without fields that are None or empty."""
    if type(value) in _PLAIN or type(value) is _Filled:
        return value
    if isinstance(value, list):
        return value if value and type(value[0]) in _PLAIN else [_filled_fields(each) for each in value]
    fields = value if isinstance(value, dict) else vars(value)
    return {
        name: each if type(each) in _PLAIN else _filled_fields(each)
        for name, each in fields.items()
        if each is not None and each not in ("", [], {}) and not name.startswith("_")  # the library's own
    }


class _Glb:
    """A glTF document and its binary chunk, while they are built."""

    def __init__(self) -> None:
        self._document = gltf.GLTF2(asset=gltf.Asset(version=_VERSION, generator="fml_jax"))
        self._chunks: list[bytes] = []
        self._length = 0

    def encoded(self, head: Head, jpeg: bytes, extras: dict[str, Any], animation: Animation | None) -> bytes:
        """The whole file."""
        document = self._document
        document.asset.extras = extras
        document.images = [gltf.Image(bufferView=self._view(jpeg), mimeType="image/jpeg", name="reflectance")]
        document.samplers = [gltf.Sampler(magFilter=gltf.LINEAR, minFilter=gltf.LINEAR_MIPMAP_LINEAR)]
        document.textures = [gltf.Texture(source=0, sampler=0)]
        mesh = gltf.Mesh(name="face", weights=[float(weight) for weight in head.weights])
        mesh.extras = {"targetNames": list(head.target_names)}  # the place that Blender, three.js and others read
        mesh.primitives = [self._primitive(surface, head.weights) for surface in head.surfaces]
        document.meshes = [mesh]
        document.nodes = [gltf.Node(mesh=0, name="face")]
        document.scenes, document.scene = [gltf.Scene(nodes=[0])], 0
        if animation is not None:
            self._animate(animation)
        document.buffers = [gltf.Buffer(byteLength=self._length)]
        return _contained(json.dumps(_filled_fields(document), separators=(",", ":"), allow_nan=False), self._chunks)

    def _animate(self, animation: Animation) -> None:
        """The motion of the first node, and the camera before which it moves."""
        document, frames = self._document, self._values(animation.times[:, None], bounds=True)
        moved = {
            "rotation": animation.rotation,
            "translation": animation.translation * _METRES,
            "weights": animation.weights.reshape(-1, 1),
        }
        samplers = [gltf.AnimationSampler(input=frames, output=self._values(rows)) for rows in moved.values()]
        channels = [
            gltf.AnimationChannel(sampler=k, target=gltf.AnimationChannelTarget(node=0, path=name))
            for k, name in enumerate(moved)
        ]
        document.animations = [gltf.Animation(name="clip", samplers=samplers, channels=channels)]
        document.nodes[0].rotation = animation.rotation[0].tolist()
        document.nodes[0].translation = (animation.translation[0] * _METRES).tolist()
        lens = gltf.Perspective(aspectRatio=1.0, yfov=animation.view_angle, znear=0.01, zfar=100.0)
        document.cameras = [gltf.Camera(type="perspective", perspective=lens, name="camera")]
        document.nodes.append(gltf.Node(camera=0, name="camera"))
        document.scenes[0].nodes = [0, 1]

    def _values(self, rows: np.ndarray, *, bounds: bool = False) -> int:
        """An accessor of numbers that are no attributes of vertices."""
        rows = np.ascontiguousarray(rows, "<f4")
        accessor = _accessor(len(rows), rows, bounds=bounds)
        accessor.bufferView, accessor.byteOffset = self._view(rows.tobytes()), 0
        return self._add(accessor)

    def _primitive(self, surface: Surface, weights: Float[np.ndarray, "K"]) -> gltf.Primitive:
        attributes = gltf.Attributes(
            POSITION=self._array(surface.neutral * _METRES, bounds=True),
            NORMAL=self._array(surface.normals),
        )
        tint = np.ones(3)
        if surface.uv is not None:
            attributes.TEXCOORD_0 = self._array(np.stack([surface.uv[:, 0], 1 - surface.uv[:, 1]], axis=1))
        if surface.colours is not None:
            # Programs that ignore colours of vertices show the brightest colour everywhere.
            linear = _linear(surface.colours)
            tint = np.maximum(linear.max(axis=0), 1e-6)
            attributes.COLOR_0 = self._array(np.clip(linear / tint, 0, 1))
        self._document.materials.append(_material(surface, tint))
        return gltf.Primitive(
            attributes=attributes,
            indices=self._indices(surface.triangles),
            material=len(self._document.materials) - 1,
            targets=self._targets(surface, weights),
        )

    def _targets(self, surface: Surface, weights: Float[np.ndarray, "K"]) -> list[dict[str, int]]:
        """Accessors of displacements that are zero but at some vertices; all of a primitive share two buffer views."""
        least, last = _LEAST_MOVE.get(surface.name, _ELSE_MOVE), _last_moves(surface, weights)
        named = _named_moves(surface.shapes, least)
        views = self._view(named.indices), self._view(named.values + last.values.tobytes())
        of_last = _sparse_accessor(last, len(surface.neutral), views, (named.last_indices, len(named.values)))
        accessors = [*_named_accessors(surface.shapes, least, views), of_last]
        return [_Filled(POSITION=self._add(accessor)) for accessor in accessors]

    def _array(self, rows: np.ndarray, *, bounds: bool = False) -> int:
        rows = np.ascontiguousarray(rows, "<f4")
        accessor = _accessor(len(rows), rows, bounds=bounds)
        accessor.bufferView, accessor.byteOffset = self._view(rows.tobytes(), gltf.ARRAY_BUFFER), 0
        return self._add(accessor)

    def _indices(self, triangles: np.ndarray) -> int:
        kind = np.uint16 if triangles.max() < 2**16 - 1 else np.uint32
        rows = np.ascontiguousarray(triangles.ravel(), kind)
        view = self._view(rows.tobytes(), gltf.ELEMENT_ARRAY_BUFFER)
        component = _COMPONENTS[rows.dtype]
        return self._add(
            gltf.Accessor(bufferView=view, byteOffset=0, componentType=component, count=len(rows), type=gltf.SCALAR)
        )

    def _add(self, accessor: gltf.Accessor | _Filled) -> int:
        self._document.accessors.append(accessor)
        return len(self._document.accessors) - 1

    def _view(self, content: bytes, target: int | None = None) -> int:
        self._document.bufferViews.append(
            gltf.BufferView(buffer=0, byteOffset=self._length, byteLength=len(content), target=target)
        )
        padded = content + bytes(-len(content) % 4)
        self._chunks.append(padded)
        self._length += len(padded)
        return len(self._document.bufferViews) - 1


_TYPES = {1: gltf.SCALAR, 2: gltf.VEC2, 3: gltf.VEC3, 4: gltf.VEC4}
_COMPONENTS = {np.dtype(np.uint16): gltf.UNSIGNED_SHORT, np.dtype(np.uint32): gltf.UNSIGNED_INT}


def _accessor(count: int, rows: np.ndarray, *, bounds: bool) -> gltf.Accessor:
    """An accessor of `count` float vectors within the bounds of `rows`, without a buffer view."""
    accessor = gltf.Accessor(byteOffset=None, componentType=gltf.FLOAT, count=count, type=_TYPES[rows.shape[1]])
    if bounds:
        accessor.min, accessor.max = _bounds(rows)
    return accessor


def _bounds(rows: np.ndarray) -> tuple[list[float], list[float]]:
    """The least and the greatest number of each column."""
    return rows.min(axis=0).astype(float).tolist(), rows.max(axis=0).astype(float).tolist()


def _laid_out(blocks: list[bytes]) -> tuple[bytes, list[int]]:
    """Blocks one after the other, each beginning at a multiple of four, and where they begin."""
    padded = [block + bytes(-len(block) % 4) for block in blocks]
    return b"".join(padded), np.cumsum([0, *map(len, padded)])[:-1].tolist()


class _Moves(NamedTuple):
    """A target of a surface: the vertices that it moves, at least one, and their displacements in metres."""

    rows: np.ndarray  # [R]
    values: np.ndarray  # [R, 3] float32
    least: list[float]  # [3], of all the surface's vertices
    greatest: list[float]


def _moves_of(rows: np.ndarray, displacements: Float[np.ndarray, "V 3"]) -> _Moves:
    """A target that moves some vertices by their displacements in mm, and no other."""
    values = (displacements[rows] * _METRES).astype("<f4")
    still = np.zeros((int(len(rows) < len(displacements)), 3), np.float32)
    return _Moves(rows, values, *_bounds(np.concatenate([values, still])))


def _last_moves(surface: Surface, weights: Float[np.ndarray, "K"]) -> _Moves:
    """The last target of a surface, which makes up for the named shapes' small displacements."""
    _, small = surface.shapes.split(_LEAST_MOVE.get(surface.name, _ELSE_MOVE))
    last = surface.rest + weighted_sum_plain((weights[:-1] / weights[-1]).astype(np.float32), small)
    return _moves_of(np.arange(len(last)), last)


class _NamedMoves(NamedTuple):
    """The targets of the named shapes, without their small displacements: the same for all heads."""

    moves: list[_Moves]
    indices: bytes  # of the vertices of these targets and of the last one, which moves all
    index_places: list[int]
    last_indices: int  # where those of the last target begin
    values: bytes  # of these targets
    value_places: list[int]


@lru_cache(maxsize=8)  # the surfaces of a head
def _named_moves(shapes: Shapes, least: float) -> _NamedMoves:
    large = shapes.split(least)[0]
    found = []
    for target in large:
        rows = np.flatnonzero(target.any(axis=1))
        found.append(_moves_of(rows if len(rows) else np.zeros(1, np.int64), target))
    count = large.shape[1]
    rows_of_all = [*(moves.rows for moves in found), np.arange(count)]
    indices, (*index_places, last) = _laid_out([rows.astype(_index_kind(count)).tobytes() for rows in rows_of_all])
    values, value_places = _laid_out([moves.values.tobytes() for moves in found])
    return _NamedMoves(found, indices, index_places, last, values, value_places)


@lru_cache(maxsize=8)
def _named_accessors(shapes: Shapes, least: float, views: tuple[int, int]) -> list[_Filled]:
    """The accessors of the named shapes' targets, whose indices and values are in these buffer views."""
    named, count = _named_moves(shapes, least), shapes.split(least)[0].shape[1]
    places = zip(named.index_places, named.value_places, strict=True)
    pairs = zip(named.moves, places, strict=True)
    return [_Filled(_filled_fields(_sparse_accessor(moves, count, views, place))) for moves, place in pairs]


def _sparse_accessor(moves: _Moves, count: int, views: tuple[int, int], places: tuple[int, int]) -> gltf.Accessor:
    """An accessor of `count` displacements, with the indices and values of those that are not 0 at places in views."""
    accessor = _accessor(count, moves.values, bounds=False)
    accessor.min, accessor.max = moves.least, moves.greatest
    accessor.sparse = gltf.Sparse(
        count=len(moves.rows),
        indices=gltf.AccessorSparseIndices(
            bufferView=views[0], byteOffset=places[0], componentType=_COMPONENTS[_index_kind(count)]
        ),
        values=gltf.AccessorSparseValues(bufferView=views[1], byteOffset=places[1]),
    )
    return accessor


def _index_kind(count: int) -> np.dtype:
    return np.dtype(np.uint16 if count < 2**16 else np.uint32)


def _material(surface: Surface, tint: Float[np.ndarray, "3"]) -> gltf.Material:
    surface_look = gltf.PbrMetallicRoughness(
        baseColorFactor=[*map(float, tint), 1.0],
        metallicFactor=0.0,
        roughnessFactor=_ROUGHNESS.get(surface.name, _ELSE_ROUGH),
    )
    if surface.uv is not None:
        surface_look.baseColorTexture = gltf.TextureInfo(index=0)
    return gltf.Material(name=surface.name, pbrMetallicRoughness=surface_look, doubleSided=True, alphaCutoff=None)


def _linear(srgb: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
    """sRGB-encoded colours as light (IEC 61966-2-1), which colours of glTF's vertices are."""
    srgb = np.clip(np.asarray(srgb, np.float64), 0, 1)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
