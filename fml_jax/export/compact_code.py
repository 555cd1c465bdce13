"""`.fml` files: the paper's compact code of a face, some kilobytes or, quantised, about one.

All numbers are little-endian. A file is the header, the texts, the parts of the code, and a CRC-32 of all before it.

    4 bytes    b"FML" and the format's version
    1          flags: 1 quantised, 2 with the final level
    5 × 2      m_s, m_e, m_r, C_g, C_r
    2 × 4      the photo's width and height
    2, 4       the face's index (uint16) and score (float32)
    10 × 4     crop_from_photo row by row, then the box (float32)
    4 texts    face model, the network's version, photo, name: each a length byte and UTF-8

A part is either float32 numbers, or its largest magnitude as float32 and signed integers in multiples of it, of as many
bits as `_PARTS` has, packed without gaps.
"""

import math
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fml_jax.codes import LIGHT_SHAPE, CodeSizes, FaceCode, FinalCode
from fml_jax.errors import InputError
from fml_jax.photos.reading import MAX_PIXELS
from fml_jax.reconstruction.levels import both_levels

VERSION = 1
_MAGIC = b"FML"
_QUANTISED, _FINAL = 1, 2
_HEADER = struct.Struct("<3sBB5H2IHf10f")
_CHECKSUM = struct.Struct("<I")
_LONGEST_TEXT = 255  # bytes
_LARGEST = 1 << 20  # bytes of a file that may be one

# Bits of each part's numbers when they are quantised, chosen so that a vertex moves by less than 0.1 mm.
_PARTS = {
    "identity": 11,
    "expression": 12,
    "reflectance": 8,
    "rotation": 16,
    "translation": 16,
    "illumination": 10,
    "delta_geometry": 7,
    "delta_reflectance": 6,
    "final_illumination": 10,
}
_FINAL_PARTS = ("delta_geometry", "delta_reflectance", "final_illumination")


class CompactFace(NamedTuple):
    """What a `.fml` file holds."""

    code: FaceCode | FinalCode  # NumPy arrays
    face_model: str
    network: str  # the network's version, as `Reconstruction.model_version`
    photo: str  # the file's name without folders
    name: str
    face_index: int
    score: float
    box: np.ndarray  # [4]
    crop_from_photo: np.ndarray  # [2, 3]
    photo_size: tuple[int, int]  # height, width


def compact_face(face: Any) -> CompactFace:
    """The code of a `Reconstruction`; its corrections of single vertices are not part of it."""
    return CompactFace(
        code=both_levels(face),
        face_model=face.model.name,
        network=face.model_version,
        photo=Path(face.source).name,
        name=face.name,
        face_index=face.index,
        score=face.score,
        box=np.asarray(face.box),
        crop_from_photo=np.asarray(face.crop_from_photo),
        photo_size=face.photo.shape[:2],
    )


def encoded(face: CompactFace, *, quantised: bool = False) -> bytes:
    """The content of a file.

    Raises:
      InputError: a text is too long.
    """
    base, final = (face.code.base, face.code) if isinstance(face.code, FinalCode) else (face.code, None)
    deltas = (0, 0) if final is None else (final.geometry.shape[-1], final.reflectance.shape[-1])
    flags = _QUANTISED * quantised | _FINAL * (final is not None)
    height, width = face.photo_size
    places = [*np.ravel(face.crop_from_photo).tolist(), *np.ravel(face.box).tolist()]
    header = _HEADER.pack(
        _MAGIC, VERSION, flags, *base.sizes, *deltas, width, height, face.face_index, face.score, *places
    )
    # The network's version begins with its face model's name, which need not be there twice.
    network = face.network.removeprefix(face.face_model)
    texts = b"".join(map(_text, (face.face_model, network, face.photo, face.name)))
    parts = _parts(base, final)
    pack = _quantised if quantised else (lambda values, bits: np.asarray(values, "<f4").tobytes())
    content = header + texts + b"".join(pack(np.ravel(values), _PARTS[name]) for name, values in parts.items())
    return content + _CHECKSUM.pack(zlib.crc32(content))


def read_compact_face(path: str | Path) -> CompactFace:
    """Reads a `.fml` file.

    Raises:
      InputError: it is missing, damaged, of another version, or no such file.
    """
    path = Path(path)
    try:
        content = path.read_bytes() if path.stat().st_size <= _LARGEST else b""
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if content[:3] != _MAGIC or len(content) < _HEADER.size + _CHECKSUM.size:
        raise InputError(f"{path}: not a .fml file of a face; check the path")
    if content[3] != VERSION:
        raise InputError(f"{path}: version {content[3]} of .fml files, this program reads {VERSION}; update fml_jax")
    body, checksum = content[: -_CHECKSUM.size], content[-_CHECKSUM.size :]
    if _CHECKSUM.pack(zlib.crc32(body)) != checksum:
        raise InputError(f"{path}: damaged (its checksum does not fit); copy or save it again")
    try:
        return _decoded(body)
    except (ValueError, IndexError, struct.error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a .fml file of a face ({error}); save it again") from None


def _parts(base: FaceCode, final: FinalCode | None) -> dict[str, Any]:
    parts = {name: getattr(base, name) for name in _PARTS if name not in _FINAL_PARTS}
    if final is not None:
        parts |= dict(zip(_FINAL_PARTS, (final.geometry, final.reflectance, final.illumination), strict=True))
    return parts


def _decoded(body: bytes) -> CompactFace:
    _, _, flags, *numbers = _HEADER.unpack_from(body)
    sizes, deltas, (width, height, index, score) = CodeSizes(*numbers[:3]), numbers[3:5], numbers[5:9]
    places = np.array(numbers[9:])
    if not (0 < width * height <= MAX_PIXELS and np.isfinite(places).all()):
        raise ValueError("its photo's size or the face's place is impossible")
    texts, start = _texts(body, _HEADER.size)
    is_final = bool(flags & _FINAL)
    lengths = [*sizes, 3, 3, math.prod(LIGHT_SHAPE), *(deltas if is_final else ()), *([27] if is_final else ())]
    values, start = _all_parts(body, start, lengths, quantised=bool(flags & _QUANTISED))
    if start != len(body):
        raise ValueError("its length does not fit its code")
    code = _code(values)
    face_model, network, photo, name = texts
    return CompactFace(
        code,
        face_model,
        face_model + network if network.startswith(",") or not network else network,
        photo,
        name,
        face_index=index,
        score=score,
        box=places[6:],
        crop_from_photo=places[:6].reshape(2, 3),
        photo_size=(height, width),
    )


def _code(values: list[Any]) -> FaceCode | FinalCode:
    """A code of NumPy arrays from its parts in the order of `_PARTS`."""
    shaped = {
        name: part.reshape(LIGHT_SHAPE) if name.endswith("illumination") else part
        for name, part in zip(_PARTS, values, strict=False)
    }
    final = [shaped.pop(name) for name in _FINAL_PARTS if name in shaped]
    base = FaceCode(**shaped)
    return FinalCode(base, geometry=final[0], reflectance=final[1], illumination=final[2]) if final else base


def _all_parts(body: bytes, start: int, lengths: list[int], *, quantised: bool) -> tuple[list[np.ndarray], int]:
    """The code's parts from a place on, and where they end."""
    found = []
    for bits, length in zip(_PARTS.values(), lengths, strict=False):
        size = 4 + -(-bits * length // 8) if quantised else 4 * length
        block = body[start : start + size]
        if len(block) < size:
            raise ValueError("its length does not fit its code")
        values = _restored(block, bits, length) if quantised else np.frombuffer(block, "<f4").astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError("a number of its code is not finite")
        found.append(values)
        start += size
    return found, start


def _quantised(values: np.ndarray, bits: int) -> bytes:
    """The largest magnitude, then signed integers of so many bits, offset to be positive."""
    values = np.asarray(values, np.float64)
    largest = np.float32(np.abs(values).max(initial=0))
    top = 2 ** (bits - 1) - 1
    steps = np.round(values / (largest or 1) * top).astype(np.int64) + top
    return struct.pack("<f", largest) + np.packbits((steps[:, None] >> np.arange(bits)) & 1).tobytes()


def _restored(block: bytes, bits: int, length: int) -> np.ndarray:
    (largest,) = struct.unpack_from("<f", block)
    flat = np.unpackbits(np.frombuffer(block, np.uint8, offset=4))[: bits * length]
    steps = flat.reshape(length, bits).astype(np.int64) @ (1 << np.arange(bits))
    top = 2 ** (bits - 1) - 1
    return ((steps - top) / top * largest).astype(np.float32)


def _text(text: str) -> bytes:
    content = text.encode("utf-8", "surrogateescape")
    if len(content) > _LONGEST_TEXT:
        raise InputError(f"{text[:40]}…: a name of {len(content)} bytes; .fml files take up to {_LONGEST_TEXT}")
    return bytes([len(content)]) + content


def _texts(body: bytes, start: int) -> tuple[list[str], int]:
    found = []
    for _ in range(4):
        end = start + 1 + body[start]
        if end > len(body):
            raise ValueError("a text is cut off")
        found.append(body[start + 1 : end].decode("utf-8", "surrogateescape"))
        start = end
    return found, start
