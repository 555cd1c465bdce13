"""Training examples as bytes (records), and shards of records.

A record is one MessagePack map. It holds numbers and text as such, arrays as little-endian bytes, and the window as a
JPEG file. Reading a record runs no code (unlike pickle), needs no schema compiler (unlike protocol buffers), takes half
a millisecond, and is possible in other languages. Shapes and types are those of the fields of `Example` and are not
stored; `VERSION` changes when they do. A render's true vertices and reflectance are 16-bit integers in steps of 1/100
mm and 1/10,000 of the colour range: half the bytes of float32, and finer than float16 at a head's size. A label map is
a PNG of about a kilobyte.

A window is compressed once, with full colour resolution, at a quality where photos change by less than one grey level
on average. This takes a ninth of the bytes of plain pixels and a quarter of those of a PNG.
"""

import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import msgpack
import numpy as np
from jaxtyping import Bool, Float, UInt8

from fml_jax.corpus.face_labels import LABEL_SIZE
from fml_jax.errors import InputError
from fml_jax.files import complete_or_absent

VERSION = 4
# Records of version 1 hold no truth, those of versions 1 and 2 no reference landmarks, those of 1 to 3 no label maps.
_READABLE = (1, 2, 3, 4)
JPEG_QUALITY = 95
# One record a chunk, for random access; no compression, which would not shrink the JPEG any further.
SHARD_OPTIONS = "group_size:1,uncompressed"


class Stats(NamedTuple):
    """Statistics of an example, for thresholds and histograms."""

    size: float  # √(w·h) of the landmarks' box, photo pixels
    sharpness: float  # standard deviation of the Laplacian at a fixed face size, grey levels
    brightness: float  # mean grey level within the landmarks' hull, 0–255
    yaw: float  # degrees, approximate, from the landmarks
    pitch: float  # degrees
    roll: float  # degrees


class Truth(NamedTuple):
    """The true geometry and reflectance of a render, at the vertices of `load_face_model(detail="face")`."""

    vertices: Float[np.ndarray, "N 3"]  # model space, mm
    reflectance: Float[np.ndarray, "N 3"]  # RGB


@dataclass(frozen=True)
class Example:
    """A face for training: a window of S×S pixels of a photo (or a render), with its landmarks and labels."""

    name: str  # of the photo, unique in its corpus
    source: str  # name of the collection
    person: str  # photos of one person belong to one split
    window: UInt8[np.ndarray, "S S 3"]  # RGB
    valid: Bool[np.ndarray, "S S"]  # True where the pixel comes from the photo itself
    to_photo: Float[np.ndarray, "2 3"]  # window pixels to photo pixels
    crop: Float[np.ndarray, "2 3"]  # window pixels to the detector's crop
    landmarks68: Float[np.ndarray, "68 2"]  # window pixels
    confidence: Float[np.ndarray, "68"]  # [0, 1]; 0 for landmarks outside the photo, which are guesses
    landmarks478: Float[np.ndarray, "478 3"]  # MediaPipe's points, window pixels; the third is depth, larger is farther
    from_detector: bool  # True: the crop is framed by the detector; False: by the landmarks
    stats: Stats
    code: Float[np.ndarray, "code"] | None = (
        None  # of a render: its exact flat code, as far as the base model can express it
    )
    truth: Truth | None = None  # of a render, where it is stored
    reference68: Float[np.ndarray, "68 2"] | None = None  # the collection's own landmarks, window pixels
    labels: UInt8[np.ndarray, "120 120"] | None = None  # of a render: its label map, see `face_labels`


_ARRAYS = {  # affine maps are float64: coordinates in photos are large
    "to_photo": ("<f8", (2, 3)),
    "crop": ("<f8", (2, 3)),
    "landmarks68": ("<f4", (68, 2)),
    "confidence": ("<f4", (68,)),
    "landmarks478": ("<f4", (478, 3)),
}
_REFERENCE = ("<f4", (68, 2))
_CODE = "<f4"
_TRUTH = "<i2"
_TRUTH_STEPS = (0.01, 1e-4)  # values of one step; the ranges are ±328 mm and ±3.28


def encode(example: Example) -> bytes:
    """The record of an example; the same bytes for the same example."""
    bgr = cv2.cvtColor(example.window, cv2.COLOR_RGB2BGR)
    full_colours = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, *full_colours])[1].tobytes()
    fields = {
        "version": VERSION,
        "name": example.name,
        "source": example.source,
        "person": example.person,
        "window": jpeg,
        "valid": b"" if example.valid.all() else np.packbits(example.valid).tobytes(),
        **{name: np.asarray(getattr(example, name), dtype).tobytes() for name, (dtype, _) in _ARRAYS.items()},
        "from_detector": bool(example.from_detector),
        "stats": [float(value) for value in example.stats],
        "code": b"" if example.code is None else np.asarray(example.code, _CODE).tobytes(),
        "reference68": b"" if example.reference68 is None else np.asarray(example.reference68, _REFERENCE[0]).tobytes(),
        "labels": b"" if example.labels is None else cv2.imencode(".png", example.labels)[1].tobytes(),
        "truth": []
        if example.truth is None
        else [_in_steps(part, step) for part, step in zip(example.truth, _TRUTH_STEPS, strict=True)],
    }
    return msgpack.packb(fields)


def decode(record: bytes) -> Example:
    """The example of a record; its window is the decoded JPEG.

    Raises:
      InputError: the bytes are no record, or one of another version.
    """
    try:
        fields = msgpack.unpackb(record)
        version = fields.pop("version")
        if version not in _READABLE:
            raise InputError(
                f"a record of version {version}, this program reads up to {VERSION}; prepare the corpus again"
            )
        fields["window"] = _picture(fields["window"])
        fields["valid"] = _mask(fields["valid"], fields["window"].shape[:2])
        for name, (dtype, shape) in _ARRAYS.items():
            fields[name] = np.frombuffer(fields[name], dtype).reshape(shape)
        fields["stats"] = Stats(*fields["stats"])
        fields["code"] = np.frombuffer(fields["code"], _CODE) if fields["code"] else None
        truth = [_from_steps(part, step) for part, step in zip(fields.get("truth", ()), _TRUTH_STEPS, strict=False)]
        fields["truth"] = Truth(*truth) if truth else None
        reference = fields.get("reference68")
        fields["reference68"] = np.frombuffer(reference, _REFERENCE[0]).reshape(_REFERENCE[1]) if reference else None
        fields["labels"] = _labels(fields["labels"]) if fields.get("labels") else None
        return Example(**fields)
    except InputError:
        raise
    except Exception as error:  # whatever broken bytes do to the parsers
        raise InputError(f"not a record of a training corpus ({error}); prepare the corpus again") from error


def write_shard(path: Path, records: Iterable[bytes]) -> None:
    """Writes a file of records; the file appears only when it is complete.

    Raises:
      InputError: the disk is full, or the folder cannot be written.
    """
    from array_record.python.array_record_module import ArrayRecordWriter

    with complete_or_absent(path) as partial:
        writer = _writing(ArrayRecordWriter, str(partial), SHARD_OPTIONS)
        for record in records:
            _writing(writer.write, record)
        _writing(writer.close)


def _writing(call: Callable, *arguments):
    """Calls ArrayRecord's writer, and turns its RuntimeError into an OSError with the same text.

    ArrayRecord gives the system's error as text only; a full disk is recognised by its message.
    """
    try:
        return call(*arguments)
    except RuntimeError as error:
        full = os.strerror(errno.ENOSPC) in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from error


def read_shard(path: Path) -> list[bytes]:
    """All records of a shard.

    Raises:
      InputError: missing or damaged.
    """
    from array_record.python.array_record_module import ArrayRecordReader

    try:
        reader = ArrayRecordReader(str(path))
        return reader.read_all()
    except (RuntimeError, IndexError) as error:
        raise unreadable_shard(path, error) from error


def unreadable_shard(path: Path, error: Exception) -> InputError:
    """The error for a shard that cannot be read."""
    return InputError(f"{path}: unreadable shard ({error}); delete it and run the same prepare command again")


def _in_steps(values: Float[np.ndarray, "N 3"], step: float) -> bytes:
    limits = np.iinfo(_TRUTH)
    return np.clip(np.rint(values / step), limits.min, limits.max).astype(_TRUTH).tobytes()


def _from_steps(stored: bytes, step: float) -> Float[np.ndarray, "N 3"]:
    return np.frombuffer(stored, _TRUTH).reshape(-1, 3) * np.float32(step)


def _picture(jpeg: bytes) -> UInt8[np.ndarray, "S S 3"]:
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("its window is no picture")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr)


def _labels(png: bytes) -> UInt8[np.ndarray, "120 120"]:
    labels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    if labels is None or labels.shape != (LABEL_SIZE, LABEL_SIZE):
        raise ValueError("its label map is no picture of that size")
    return labels


def _mask(bits: bytes, shape: tuple[int, int]) -> Bool[np.ndarray, "S S"]:
    if not bits:
        return np.ones(shape, bool)
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=shape[0] * shape[1]).view(bool).reshape(shape)
