"""Photos from files and arrays: upright 8-bit RGB, or one clear line about what is wrong."""

import glob
import os
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from fml_jax.errors import InputError
from fml_jax.photos.headers import is_cut_short, size_in_header

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
UNREADABLE_SUFFIXES = (".gif", ".heic", ".heif", ".avif")  # photos too: listed, so that each is told and not overlooked
MIN_SIDE = 32  # pixels; smaller pictures hold no face that could be found
MAX_PIXELS = 64_000_000  # 192 MB once decoded


def read_photo(path: str | os.PathLike) -> UInt8[np.ndarray, "H W 3"]:
    """A photo file as 8-bit RGB, turned upright as its EXIF orientation says.

    Grey becomes RGB, 16 bits become 8, an alpha channel is dropped (hidden pixels show their colour).

    Raises:
      InputError: missing, empty, no picture, cut short, smaller than MIN_SIDE, or larger than
        MAX_PIXELS (which headers tell before anything is decoded).
    """
    path = Path(path)
    content = _read_bytes(path)
    size = size_in_header(content)
    if size is not None:
        _check_size(*size, str(path))
    if is_cut_short(content):
        raise InputError(f"{path}: the file is cut short; copy or download it again")
    bgr = None if size is None else _decode(content)
    if bgr is None:
        raise InputError(f"{path}: not a picture that can be read; use a JPEG, PNG, WebP, BMP or TIFF file")
    _check_size(*bgr.shape[:2], str(path))
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr)


def as_rgb(array: np.ndarray, name: str = "photo") -> UInt8[np.ndarray, "H W 3"]:
    """A picture in memory as 8-bit RGB.

    Args:
      array: [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] (alpha is dropped); uint8, uint16, or floats in
        [0, 1]; colour channels in the order RGB.
      name: what error messages call it.

    Raises:
      InputError: another shape, type or range, or a size out of bounds.
    """
    array = np.asarray(array)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise InputError(f"{name}: shape {array.shape} is no picture; give [H, W], [H, W, 3] or [H, W, 4]")
    _check_size(*array.shape[:2], name)
    colour = array[..., None] if array.ndim == 2 else array[..., :3]
    return np.ascontiguousarray(np.broadcast_to(_as_uint8(colour, name), (*array.shape[:2], 3)))


def list_photos(place: str | os.PathLike) -> list[Path]:
    """The photos that a file's path, a folder or a pattern such as `photos/*.jpg` stands for, sorted.

    A folder stands for all photos in it and in its subfolders, except hidden ones.

    Raises:
      InputError: there is none.
    """
    path = Path(place)
    if path.is_file():
        return [path]
    if path.is_dir():
        found = [file for file in path.rglob("*") if _is_photo(file.relative_to(path)) and file.is_file()]
        remedy = f"no photos in this folder; they end in {' '.join(PHOTO_SUFFIXES)}"
    else:
        found = [Path(file) for file in glob.glob(str(place), recursive=True) if _is_photo(Path(file))]
        remedy = "no such file, folder or pattern; check the path"
    if not found:
        raise InputError(f"{place}: {remedy}")
    return sorted(found)


def _is_photo(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts if part != "..")
    return path.suffix.lower() in PHOTO_SUFFIXES + UNREADABLE_SUFFIXES and not hidden


def _read_bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if not content:
        raise InputError(f"{path}: the file is empty; copy or download it again")
    return content


def _decode(content: bytes) -> UInt8[np.ndarray, "H W 3"] | None:
    # IMREAD_COLOR is the mode that applies the EXIF orientation and brings every depth to 8 bits.
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our one line says it
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)


def _check_size(height: int, width: int, name: str) -> None:
    if min(height, width) < MIN_SIDE:
        raise InputError(f"{name}: {width}×{height} pixels are too small; both sides need at least {MIN_SIDE}")
    if height * width > MAX_PIXELS:
        raise InputError(
            f"{name}: {width}×{height} pixels are too many; shrink the photo below {MAX_PIXELS // 10**6} megapixels"
        )


def _as_uint8(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{name}: {array.dtype} numbers are no colours; give uint8, uint16 or floats in [0, 1]")
    if not (array.min() >= 0 and array.max() <= 1):  # also catches NaN
        raise InputError(f"{name}: floats outside [0, 1] are no colours; divide by the largest possible value")
    return np.rint(array * 255).astype(np.uint8)
