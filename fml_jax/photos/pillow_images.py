"""Pillow's images as arrays: turned upright, in sRGB, whatever their mode (palette, CMYK, 1-bit, 16-bit, …)."""

import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

_NUMBERS = ("I;16", "I;16L", "I;16B", "I", "F")  # modes that hold no 8-bit colours
_PREMULTIPLIED = {"RGBa": "RGBA", "La": "LA"}
_WITH_PROFILES = ("L", "RGB", "CMYK")  # modes whose colour profiles can be applied


def is_pillow_image(picture: Any) -> bool:
    """Whether this is an image of Pillow, or of a library that copies its interface."""
    return all(hasattr(picture, name) for name in ("mode", "convert", "getexif", "getbands"))


def upright_srgb(image: Image.Image) -> np.ndarray:
    """The image's pixels, upright, in sRGB.

    Returns:
      [H, W, 3] uint8; of modes with 16 bits, whole numbers or floats, [H, W] of the same numbers.

    Raises:
      ValueError: Pillow cannot convert this mode.
    """
    image = _upright(image)
    if image.mode in _NUMBERS:
        numbers = np.asarray(image)
        return numbers.astype(numbers.dtype.newbyteorder("="))
    if image.mode in _PREMULTIPLIED:
        image = image.convert(_PREMULTIPLIED[image.mode])
    image = _in_srgb(image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return (ImageOps.exif_transpose(image) if image.getexif() else None) or image
    except Exception:  # damaged EXIF does not make a photo unusable
        return image


def _in_srgb(image: Image.Image) -> Image.Image:
    """The image's colours in sRGB, where it carries another profile (phones use Display P3)."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(given):
            return image
        plain = image if image.mode in _WITH_PROFILES else image.convert("RGB")
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(plain, given, srgb, outputMode="RGB") or image
    except Exception:  # a damaged profile, or one for another mode: the colours are used as they are
        return image
