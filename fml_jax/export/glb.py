"""Heads as GLB, the binary form of glTF 2.0: surfaces with morph targets, in metres, y up, the face along +z."""

import json
import struct
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
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

# Numbers and words of glTF's specification.
_VERSION = 2
_FLOAT, _COMPONENTS = 5126, {np.dtype(np.uint16): 5123, np.dtype(np.uint32): 5125}
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_LINEAR, _LINEAR_MIPMAP_LINEAR = 9729, 9987

_Json = dict[str, Any]


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
    with path.open("wb") as file:
        file.writelines(_Glb().parts(head, jpeg, extras, animation))


def _container(document: _Json, chunks: Sequence[bytes]) -> list[bytes]:
    """A document and its binary chunk, one part of the file after the other."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    length = sum(map(len, chunks))
    head = struct.pack("<4sII", b"glTF", _VERSION, 12 + 8 + len(text) + 8 + length)
    return [head, struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", length, b"BIN"), *chunks]


class _Glb:
    """A glTF document and its binary chunk, while they are built."""

    def __init__(self) -> None:
        self._accessors: list[_Json] = []
        self._views: list[_Json] = []
        self._materials: list[_Json] = []
        self._chunks: list[bytes] = []
        self._length = 0

    def parts(self, head: Head, jpeg: bytes, extras: dict[str, Any], animation: Animation | None) -> list[bytes]:
        """The whole file, one part after the other."""
        image = {"bufferView": self._view(jpeg), "mimeType": "image/jpeg", "name": "reflectance"}
        mesh = {
            "name": "face",
            "primitives": [self._primitive(surface, head.weights) for surface in head.surfaces],
            "weights": [float(weight) for weight in head.weights],
            "extras": {"targetNames": list(head.target_names)},  # the place that Blender, three.js and others read
        }
        document: _Json = {
            "asset": {"version": f"{_VERSION}.0", "generator": "fml_jax", "extras": extras},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0, "name": "face"}],
            "meshes": [mesh],
            "materials": self._materials,
            "textures": [{"source": 0, "sampler": 0}],
            "samplers": [{"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR}],
            "images": [image],
            "accessors": self._accessors,
            "bufferViews": self._views,
        }
        if animation is not None:
            self._animate(document, animation)
        document["buffers"] = [{"byteLength": self._length}]
        return _container(document, self._chunks)

    def _animate(self, document: _Json, animation: Animation) -> None:
        """Adds the motion of the first node, and the camera before which it moves."""
        frames = self._rows(animation.times[:, None], bounds=True)
        moved = {
            "rotation": animation.rotation,
            "translation": animation.translation * _METRES,
            "weights": animation.weights.reshape(-1, 1),
        }
        samplers = [{"input": frames, "interpolation": "LINEAR", "output": self._rows(rows)} for rows in moved.values()]
        channels = [{"sampler": k, "target": {"node": 0, "path": name}} for k, name in enumerate(moved)]
        document["animations"] = [{"name": "clip", "channels": channels, "samplers": samplers}]
        document["nodes"][0] |= {
            "rotation": animation.rotation[0].tolist(),
            "translation": (animation.translation[0] * _METRES).tolist(),
        }
        lens = {"aspectRatio": 1.0, "yfov": animation.view_angle, "znear": 0.01, "zfar": 100.0}
        document["cameras"] = [{"name": "camera", "type": "perspective", "perspective": lens}]
        document["nodes"].append({"camera": 0, "name": "camera"})
        document["scenes"][0]["nodes"] = [0, 1]

    def _primitive(self, surface: Surface, weights: Float[np.ndarray, "K"]) -> _Json:
        attributes = {
            "POSITION": self._array(surface.neutral * _METRES, bounds=True),
            "NORMAL": self._array(surface.normals),
        }
        tint = np.ones(3)
        if surface.uv is not None:
            attributes["TEXCOORD_0"] = self._array(np.stack([surface.uv[:, 0], 1 - surface.uv[:, 1]], axis=1))
        if surface.colours is not None:
            # Programs that ignore colours of vertices show the brightest colour everywhere.
            linear = _linear(surface.colours)
            tint = np.maximum(linear.max(axis=0), 1e-6)
            attributes["COLOR_0"] = self._array(np.clip(linear / tint, 0, 1))
        self._materials.append(_material(surface, tint))
        return {
            "attributes": attributes,
            "indices": self._indices(surface.triangles),
            "material": len(self._materials) - 1,
            "targets": self._targets(surface, weights),
        }

    def _targets(self, surface: Surface, weights: Float[np.ndarray, "K"]) -> list[_Json]:
        """Accessors of displacements that are zero but at some vertices; all of a primitive share two buffer views."""
        least, last = _LEAST_MOVE.get(surface.name, _ELSE_MOVE), _last_moves(surface, weights)
        named = _named_moves(surface.shapes, least)
        views = self._view(named.indices), self._view(named.values, last.values.tobytes())
        of_last = _sparse_accessor(last, len(surface.neutral), views, (named.last_indices, len(named.values)))
        accessors = [*_named_accessors(surface.shapes, least, views), of_last]
        return [{"POSITION": self._add(accessor)} for accessor in accessors]

    def _array(self, rows: np.ndarray, *, bounds: bool = False) -> int:
        """An accessor of attributes of vertices."""
        return self._rows(rows, _ARRAY_BUFFER, bounds=bounds)

    def _rows(self, rows: np.ndarray, target: int | None = None, *, bounds: bool = False) -> int:
        """An accessor of float vectors."""
        rows = np.ascontiguousarray(rows, "<f4")
        view = {"bufferView": self._view(rows.tobytes(), target=target), "byteOffset": 0}
        return self._add(view | _accessor(len(rows), rows.shape[1]) | (_bounds(rows) if bounds else {}))

    def _indices(self, triangles: np.ndarray) -> int:
        kind = np.uint16 if triangles.max() < 2**16 - 1 else np.uint32
        rows = np.ascontiguousarray(triangles.ravel(), kind)
        view = self._view(rows.tobytes(), target=_ELEMENT_ARRAY_BUFFER)
        component = _COMPONENTS[rows.dtype]
        return self._add(
            {"bufferView": view, "byteOffset": 0, "componentType": component, "count": len(rows), "type": _TYPES[1]}
        )

    def _add(self, accessor: _Json) -> int:
        self._accessors.append(accessor)
        return len(self._accessors) - 1

    def _view(self, *contents: bytes, target: int | None = None) -> int:
        """A buffer view of contents one after the other."""
        length = sum(map(len, contents))
        view = {"buffer": 0, "byteOffset": self._length, "byteLength": length}
        self._views.append(view if target is None else view | {"target": target})
        padding = bytes(-length % 4)
        self._chunks += [*contents, padding]
        self._length += length + len(padding)
        return len(self._views) - 1


def _accessor(count: int, columns: int) -> _Json:
    """Fields of an accessor of `count` float vectors."""
    return {"componentType": _FLOAT, "count": count, "type": _TYPES[columns]}


def _bounds(rows: np.ndarray) -> _Json:
    """Fields of an accessor: the least and the greatest number of each column."""
    return {"min": rows.min(axis=0).astype(float).tolist(), "max": rows.max(axis=0).astype(float).tolist()}


def _laid_out(blocks: list[bytes]) -> tuple[bytes, list[int]]:
    """Blocks one after the other, each beginning at a multiple of four, and where they begin."""
    padded = [block + bytes(-len(block) % 4) for block in blocks]
    return b"".join(padded), np.cumsum([0, *map(len, padded)])[:-1].tolist()


class _Moves(NamedTuple):
    """A target of a surface: the vertices that it moves, at least one, and their displacements in metres."""

    rows: np.ndarray  # [R]
    values: np.ndarray  # [R, 3] float32
    bounds: _Json  # of all the surface's vertices


def _moves_of(rows: np.ndarray, displacements: Float[np.ndarray, "V 3"]) -> _Moves:
    """A target that moves some vertices by their displacements in mm, and no other."""
    values = (displacements[rows] * _METRES).astype("<f4")
    still = np.zeros((int(len(rows) < len(displacements)), 3), np.float32)
    return _Moves(rows, values, _bounds(np.concatenate([values, still])))


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
def _named_accessors(shapes: Shapes, least: float, views: tuple[int, int]) -> list[_Json]:
    """The accessors of the named shapes' targets, whose indices and values are in these buffer views."""
    named, count = _named_moves(shapes, least), shapes.split(least)[0].shape[1]
    places = zip(named.index_places, named.value_places, strict=True)
    pairs = zip(named.moves, places, strict=True)
    return [_sparse_accessor(moves, count, views, place) for moves, place in pairs]


def _sparse_accessor(moves: _Moves, count: int, views: tuple[int, int], places: tuple[int, int]) -> _Json:
    """An accessor of `count` displacements, with the indices and values of those that are not 0 at places in views."""
    component = _COMPONENTS[_index_kind(count)]
    sparse = {
        "count": len(moves.rows),
        "indices": {"bufferView": views[0], "byteOffset": places[0], "componentType": component},
        "values": {"bufferView": views[1], "byteOffset": places[1]},
    }
    return _accessor(count, moves.values.shape[1]) | moves.bounds | {"sparse": sparse}


def _index_kind(count: int) -> np.dtype:
    return np.dtype(np.uint16 if count < 2**16 else np.uint32)


def _material(surface: Surface, tint: Float[np.ndarray, "3"]) -> _Json:
    look: _Json = {
        "baseColorFactor": [*map(float, tint), 1.0],
        "metallicFactor": 0.0,
        "roughnessFactor": _ROUGHNESS.get(surface.name, _ELSE_ROUGH),
    }
    if surface.uv is not None:
        look["baseColorTexture"] = {"index": 0}
    return {"name": surface.name, "pbrMetallicRoughness": look, "doubleSided": True}


def _linear(srgb: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
    """sRGB-encoded colours as light (IEC 61966-2-1), which colours of glTF's vertices are."""
    srgb = np.clip(np.asarray(srgb, np.float64), 0, 1)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
