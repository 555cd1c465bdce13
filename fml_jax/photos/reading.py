"""Photos from files and arrays: upright 8-bit RGB, or one clear line about what is wrong."""

import glob
import itertools
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from fml_jax.errors import InputError, printable
from fml_jax.files import checked_path
from fml_jax.photos.pillow_images import is_pillow_image, upright_srgb

PHOTO_SUFFIXES = tuple(".jpg .jpeg .png .webp .bmp .tif .tiff .gif .heic .heif .avif".split())
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "HEIF")  # of Pillow's many, those that hold photos
MIN_SIDE = 32  # pixels; a face in a smaller picture is too small to be found
MAX_PIXELS = 64_000_000  # 192 MB as 8-bit RGB

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

warnings.filterwarnings("ignore", module=r"PIL\.")  # damaged metadata does not matter here; damaged pixels raise


def read_photo(path: str | os.PathLike) -> UInt8[np.ndarray, "H W 3"]:
    """A photo file as 8-bit RGB, upright (the EXIF orientation is applied), in sRGB (colour profiles are applied).

    Grey and CMYK become RGB, 16 bits become 8. An alpha channel is dropped: transparent pixels keep their colour.
    Of an animation the first frame is read.

    Raises:
      InputError: the file is missing, empty, damaged, no picture, smaller than MIN_SIDE, or larger than MAX_PIXELS.
        The size is checked before any pixel is decoded.
    """
    path = checked_path(path)
    _register_heif()
    try:
        _check_file(path.stat(), path)  # before it is opened: a pipe would block
        with path.open("rb") as file, _opened(file, path) as image:
            _check_size(image.height, image.width, str(path))
            return _decoded(image, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error


def as_rgb(picture: Any, name: str = "photo") -> UInt8[np.ndarray, "H W 3"]:
    """A picture in memory as 8-bit RGB.

    Args:
      picture: an array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] (alpha is dropped) of uint8, uint16, or floats in
        [0, 1], with colour channels in the order RGB; or a Pillow image of any mode, which is turned upright as
        `read_photo` does.
      name: what error messages call it.

    Raises:
      InputError: another shape, type or range, or a size out of bounds.
    """
    if is_pillow_image(picture):
        _check_size(picture.height, picture.width, name)
        picture = _of_pillow(picture, name)
    array = np.asarray(picture)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise InputError(f"{name}: shape {array.shape} is no picture; give [H, W], [H, W, 3] or [H, W, 4]")
    height, width = array.shape[:2]
    _check_size(height, width, name)
    colour = array[..., None] if array.ndim == 2 else array[..., :3]
    return np.ascontiguousarray(np.broadcast_to(_as_uint8(colour, name), (height, width, 3)))


def list_photos(place: str | os.PathLike) -> list[Path]:
    """The photos that a file's path, a folder or a pattern such as `photos/*.jpg` stands for, sorted.

    A folder stands for all photos in it and in its subfolders, except hidden ones.

    Raises:
      InputError: there is none, or the path is empty.
    """
    return sorted(photo for folder in photos_by_folder(place) for photo in folder)


def photos_by_folder(place: str | os.PathLike) -> Iterator[list[Path]]:
    """The same photos, folder by folder, each folder's sorted; memory holds one folder's at a time.

    Raises:
      InputError: as `list_photos`.
    """
    path = checked_path(place)
    found = False
    try:
        for photos in _of_folders(path) if path.is_dir() else _of_pattern(path):
            found = True
            yield photos
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if not found:
        remedy = "no such file, folder or pattern; check the path"
        if path.is_dir():
            remedy = f"no photos in this folder; they end in {' '.join(PHOTO_SUFFIXES)}"
        raise InputError(f"{place}: {remedy}")


def _of_folders(root: Path) -> Iterator[list[Path]]:
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        photos = [Path(folder, name) for name in sorted(files) if _is_photo(Path(name))]
        if photos := [photo for photo in photos if photo.is_file()]:
            yield photos


def _of_pattern(pattern: Path) -> Iterator[list[Path]]:
    if pattern.is_file():
        yield [pattern]
        return
    found = [Path(file) for file in glob.iglob(str(pattern), recursive=True) if _is_photo(Path(file))]
    found.sort(key=lambda photo: (photo.parent, photo.name))
    for _, photos in itertools.groupby(found, key=lambda photo: photo.parent):
        yield list(photos)


def _is_photo(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts if part != "..")
    return path.suffix.lower() in PHOTO_SUFFIXES and not hidden


def _register_heif() -> None:
    """Lets Pillow read HEIC; `_opened` reports files that need it where it is not installed."""
    if "HEIF" in Image.OPEN:
        return
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener(thumbnails=False)


def _check_file(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: not a file; check the path")
    if status.st_size == 0:
        raise InputError(f"{path}: the file is empty; copy or download it again")


def _opened(file, path: Path) -> Image.Image:
    """The file's header; pixels are decoded later."""
    begin = file.read(12)
    file.seek(0)
    try:
        return Image.open(file, formats=[each for each in FORMATS if each != "HEIF" or each in Image.OPEN])
    except Image.DecompressionBombError:
        raise InputError(f"{path}: the picture has too many pixels; {_SHRINK}") from None
    except MemoryError:
        raise
    except UnidentifiedImageError:
        if begin[4:8] == b"ftyp" and begin[8:] in _HEIF_BRANDS and "HEIF" not in Image.OPEN:
            raise InputError(f"{path}: HEIC needs pillow-heif; run: pip install 'fml_jax[heic]'") from None
        raise InputError(
            f"{path}: not a picture that can be read; use a JPEG, PNG, WebP, BMP, TIFF, GIF, HEIC or AVIF file"
        ) from None
    except Exception as error:  # parsers of broken headers raise anything
        raise _damaged(path, error) from error


def _decoded(image: Image.Image, path: Path) -> UInt8[np.ndarray, "H W 3"]:
    try:
        image.load()
        return as_rgb(image, str(path))
    except (InputError, MemoryError):
        raise
    except Exception as error:  # decoders of broken files raise anything
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    reason = " ".join(printable(error).split())
    return InputError(f"{path}: the file is damaged or cut short ({reason}); copy or download it again")


def _of_pillow(image: Image.Image, name: str) -> np.ndarray:
    try:
        return upright_srgb(image)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error


_SHRINK = f"shrink the photo below {MAX_PIXELS // 10**6} megapixels"


def _check_size(height: int, width: int, name: str) -> None:
    if min(height, width) < MIN_SIDE:
        raise InputError(f"{name}: {width}×{height} pixels are too small; both sides need at least {MIN_SIDE}")
    if height * width > MAX_PIXELS:
        raise InputError(f"{name}: {width}×{height} pixels are too many; {_SHRINK}")


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
