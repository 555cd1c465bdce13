"""What is behind a synthetic face: a graded, textured, patterned or photographed background, shoulders, long hair.

Pictures are [240, 240, 3] float32 in [0, 1].
"""

import hashlib
from pathlib import Path

import cv2
import numpy as np
from absl import logging
from jaxtyping import Float, UInt8

from fml_jax.corpus.splits import split_of
from fml_jax.errors import InputError
from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.ops.images import bounding_box, unit_range
from fml_jax.photos.reading import list_photos, read_photo
from fml_jax.synthetic.hair import Hair, grain
from fml_jax.synthetic.occluders.materials import object_colour, patterned

_PHOTOS = 400  # largest number of photos that are kept in memory
_SIDE = 320  # long side of these photos, pixels


def usable_backgrounds(folder: str | Path) -> tuple[list[Path], str]:
    """Photos for backgrounds, spread over a folder, and a digest of their pixels.

    Photos that cannot be read are reported and left out, and so are people of the validation and test splits.

    Raises:
      InputError: there is no usable photo.
    """
    paths = [path for path in list_photos(folder) if split_of(path.parent.name) == "train"]
    usable, digest = [], hashlib.sha256()
    for path in paths[:: max(1, len(paths) // _PHOTOS)][:_PHOTOS]:
        try:
            digest.update(read_background(path).tobytes())
        except InputError as error:
            logging.warning("no background: %s", error)
        else:
            usable.append(path)
    if not usable:
        raise InputError(f"{folder}: no photo that can be a background; give a folder of photos")
    return usable, digest.hexdigest()


def read_background(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """A photo, shrunk to the size of backgrounds.

    Raises:
      InputError: it cannot be read.
    """
    photo = read_photo(path)
    scale = min(1.0, _SIDE / max(photo.shape[:2]))
    return cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def background(
    rng: np.random.Generator,
    landmarks: Float[np.ndarray, "68 2"],
    hair: Hair,
    *,
    photos: list[UInt8[np.ndarray, "h w 3"]] | None,
) -> Float[np.ndarray, "240 240 3"]:
    """A random background, usually out of focus, with shoulders and long hair in front of it."""
    kinds = {"graded": 1.0, "textured": 0.8, "patterned": 0.6, "photo": 4.0 if photos else 0.0}
    shares = np.array(list(kinds.values()))
    kind = str(rng.choice(list(kinds), p=shares / shares.sum()))
    picture = photo_border(rng, photos) if photos and kind == "photo" else _MADE[kind](rng)
    if kind != "graded":
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 7))
    chin, brows = landmarks[8], landmarks[17:27].mean(0)
    down = chin - brows
    height = np.linalg.norm(down)
    angle = np.degrees(np.arctan2(-down[0], down[1]))
    _shoulders(rng, picture, chin + 0.55 * height * np.array([0, 1]), height)
    if hair.length:
        centre = brows + down * (hair.length - 0.8) / 2
        axes = height * np.array([rng.uniform(0.75, 1.05), (hair.length + 0.8) / 2])
        cover = cv2.GaussianBlur(_ellipse(centre, axes, angle), (0, 0), rng.uniform(0.5, 3))
        _paint(picture, cover, hair.colour * rng.uniform(0.4, 0.9))
        picture *= grain(rng, cover)[:, :, None]
    return picture


def photo_border(rng: np.random.Generator, photos: list[UInt8[np.ndarray, "h w 3"]]) -> Float[np.ndarray, "240 240 3"]:
    """A square from the left or right edge of a photo, where its subject rarely is."""
    photo = photos[rng.integers(len(photos))]
    height, width = photo.shape[:2]
    side = max(2, min(height, int(rng.uniform(0.2, 0.35) * width)))
    top = rng.integers(height - side + 1)
    left = rng.choice([0, width - side])
    patch = cv2.resize(
        photo[top : top + side, left : left + side], (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR
    )
    return unit_range(patch)


def textured(rng: np.random.Generator) -> Float[np.ndarray, "240 240 3"]:
    """Noise of several sizes over a gradient."""
    picture = _graded(rng)
    for _ in range(rng.integers(1, 4)):
        rows, columns = rng.integers(2, 60, 2)
        coarse = rng.normal(0, rng.uniform(0.02, 0.12), (rows, columns, 1)) + rng.normal(0, 0.02, (rows, columns, 3))
        method = cv2.INTER_NEAREST if rng.random() < 0.3 else cv2.INTER_LINEAR
        picture = picture + cv2.resize(coarse.astype(np.float32), (CROP_SIZE, CROP_SIZE), interpolation=method)
    return np.clip(picture, 0, 1).astype(np.float32)


def _graded(rng):
    change = rng.normal(0, 1, (2, 2, 1)) + 0.35 * rng.normal(0, 1, (2, 2, 3))
    corners = np.clip(object_colour(rng) + rng.normal(0, 0.15) * change, 0, 1)
    return cv2.resize(corners.astype(np.float32), (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)


def _patterned(rng):
    """Wallpaper, a fence or a logo wall: a pattern over a gradient."""
    x, y = np.meshgrid(np.arange(CROP_SIZE, dtype=float), np.arange(CROP_SIZE, dtype=float))
    wall = patterned(rng, rng.uniform(0.3, 1.5) * np.stack([x, y, 0 * x], axis=2), object_colour(rng))
    return (0.6 * wall + 0.4 * _graded(rng)).astype(np.float32)


_MADE = {"graded": _graded, "textured": textured, "patterned": _patterned}


def _shoulders(rng, picture, neck, height):
    centre = neck + height * np.array([rng.normal(0, 0.1), rng.uniform(0.3, 0.5)])
    axes = height * np.array([rng.uniform(1.3, 2.0), rng.uniform(0.5, 0.7)])
    _paint(picture, _ellipse(centre, axes, rng.normal(0, 5)), object_colour(rng))


def _ellipse(centre, axes, angle):
    """Coverage [240, 240] of an ellipse with half axes `axes`, turned by degrees."""
    mask = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
    cv2.ellipse(
        mask, (tuple(map(float, centre)), tuple(map(float, 2 * axes)), float(angle)), 1.0, cv2.FILLED, cv2.LINE_AA
    )
    return mask


def _paint(picture, mask, colour):
    box = bounding_box(mask)
    part = picture[box]
    part += mask[box][:, :, None] * (np.asarray(colour, np.float32) - part)
