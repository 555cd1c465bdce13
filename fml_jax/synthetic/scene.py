"""The surroundings of a synthetic face in its picture: hair, clothes, background, occluders, and the camera.

Pictures are [240, 240, 3] floats in [0, 1]. All random numbers come from the caller's generator, so that a picture can
be made again.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from absl import logging
from jaxtyping import Float, UInt8

from fml_jax.corpus.splits import split_of
from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel
from fml_jax.image_formation.camera import CROP_SIZE
from fml_jax.ops.images import unit_range
from fml_jax.photos.reading import list_photos, read_photo

_BACKGROUND_PHOTOS = 400  # largest number of photos that are kept in memory
_BACKGROUND_SIDE = 320  # long side of these photos, pixels

# Black, dark brown, brown, auburn, blond, grey, white.
_HAIR_COLOURS = np.array(
    [
        [0.08, 0.07, 0.07],
        [0.17, 0.12, 0.09],
        [0.30, 0.21, 0.14],
        [0.38, 0.20, 0.12],
        [0.62, 0.49, 0.32],
        [0.50, 0.49, 0.47],
        [0.78, 0.77, 0.75],
    ]
)
_SKIN = np.array([0.80, 0.60, 0.50])  # of hands that occlude the face, in bright light
_HAIR_SHARES = np.array([0.3, 0.22, 0.17, 0.06, 0.1, 0.1, 0.05])


@dataclass(frozen=True)
class Hair:
    """The hair (or hat) of a head, as colour on the mesh, and the long hair behind the face."""

    cover: Float[np.ndarray, "N"]  # float32 in [0, 1]; 0 is bare skin
    colour: Float[np.ndarray, "3"]  # float32, RGB
    thickness: np.float32  # mm by which it lifts the surface
    length: float  # of the hair behind the face, in face heights below the brows; 0 is none


def sample_hair(model: BaseModel, rng: np.random.Generator) -> Hair:
    """Random hair: none, a fringe, swept back, over the ears or not; or a hat."""
    mean = np.asarray(model.mean)
    kind = rng.choice(["bald", "hair", "hat"], p=[0.12, 0.78, 0.1])
    if kind == "bald":
        return Hair(np.zeros(len(mean), np.float32), np.zeros(3, np.float32), np.float32(0), 0.0)
    colour = _hair_colour(rng) if kind == "hair" else _colour(rng)
    cover = _hair_cover(model, mean, rng)
    long = kind == "hair" and rng.random() < 0.4
    length = rng.uniform(0.4, 1.6) if long else 0.0
    return Hair(cover, colour.astype(np.float32), np.float32(rng.uniform(2, 14)), length)


def _hair_colour(rng):
    colour = _HAIR_COLOURS[rng.choice(len(_HAIR_COLOURS), p=_HAIR_SHARES)]
    return np.clip(colour * rng.lognormal(0, 0.2) * rng.lognormal(0, 0.05, 3), 0, 1)


def _hair_cover(model, mean, rng):
    """Signed distances (mm, positive under hair) from a wavy hairline and from a plane behind the cheeks."""
    brow, chin, cheek = _anchors(model, mean)
    height = brow[1] - chin[1]
    x, y, z = mean.T
    wave = rng.uniform(0, 4) * np.sin(x / rng.uniform(4, 15) + rng.uniform(0, 2 * np.pi))
    recess = rng.uniform(-0.1, 0.25) * height * (x / 60) ** 2 + rng.uniform(-0.15, 0.15) * x
    on_top = y - (brow[1] + height * rng.uniform(0.1, 0.45)) + recess + wave
    behind = np.minimum(cheek[2] + rng.uniform(-25, 8) - z, y - rng.uniform(chin[1], brow[1]))
    distance = np.maximum(on_top, behind)
    distance[y < chin[1]] = -100
    if rng.random() < 0.6:
        distance[np.asarray(model.regions["ears"])] = -100
    return (1 / (1 + np.exp(-np.clip(distance / 1.5, -30, 30)))).astype(np.float32)


def _anchors(model, mean):
    """Brow, chin and cheek edge of the mean face, mm."""
    landmarks = model.landmarks
    frontal = int(np.abs(np.asarray(landmarks.contour_yaws)).argmin())
    contour = mean[np.asarray(landmarks.contour_vertices)[frontal, :, 0]]
    brows = np.asarray(landmarks.fixed_vertices)[np.asarray(landmarks.ibug_from_mediapipe)[17:27], 0]
    return mean[brows].mean(0), contour[8], contour[[0, 16]].mean(0)


def strands(rng: np.random.Generator, cover: Float[np.ndarray, "H W 1"]) -> Float[np.ndarray, "H W 1"]:
    """A factor for the colours that gives covered pixels the grain of hair; it is 1 at the other pixels."""
    grain = cv2.resize(
        rng.normal(0, 1, (24, 120)).astype(np.float32), (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_CUBIC
    )
    return np.clip(1 + np.float32(rng.uniform(0.1, 0.35)) * cover * _turned(rng, grain)[:, :, None], 0.2, 2)


def _turned(rng, texture):
    turn = cv2.getRotationMatrix2D((CROP_SIZE / 2, CROP_SIZE / 2), rng.uniform(-40, 40), 1.5)
    return cv2.warpAffine(texture, turn, (CROP_SIZE, CROP_SIZE), borderMode=cv2.BORDER_REFLECT)


def usable_backgrounds(folder: str | Path) -> tuple[list[Path], str]:
    """Photos for backgrounds, spread over a folder, and a digest of their pixels.

    Photos that cannot be read are reported and left out, and so are people of the validation and test splits.

    Raises:
      InputError: there is no usable photo.
    """
    paths = [path for path in list_photos(folder) if split_of(path.parent.name) == "train"]
    usable, digest = [], hashlib.sha256()
    for path in paths[:: max(1, len(paths) // _BACKGROUND_PHOTOS)][:_BACKGROUND_PHOTOS]:
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
    scale = min(1.0, _BACKGROUND_SIDE / max(photo.shape[:2]))
    return cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def background(
    rng: np.random.Generator,
    landmarks: Float[np.ndarray, "68 2"],
    hair: Hair,
    *,
    photos: list[UInt8[np.ndarray, "h w 3"]] | None,
) -> Float[np.ndarray, "240 240 3"]:
    """A plain, graded, textured or photographed background, with shoulders and long hair in front of it."""
    kinds = ["graded", "textured"] + (["photo"] * 2 if photos else [])
    picture = {"graded": _graded, "textured": _textured, "photo": lambda rng: _photo_border(rng, photos)}[
        rng.choice(kinds)
    ](rng)
    chin, brows = landmarks[8], landmarks[17:27].mean(0)
    down = chin - brows
    height = np.linalg.norm(down)
    angle = np.degrees(np.arctan2(-down[0], down[1]))
    _shoulders(rng, picture, chin + 0.55 * height * np.array([0, 1]), height)
    if hair.length:
        centre = brows + down * (hair.length - 0.8) / 2
        axes = height * np.array([rng.uniform(0.75, 1.05), (hair.length + 0.8) / 2])
        _paint(picture, _ellipse(centre, axes, angle), hair.colour * rng.uniform(0.4, 0.9))
        picture *= strands(rng, _ellipse(centre, axes, angle)[:, :, None])
    return picture


def _graded(rng):
    corners = np.clip(_colour(rng) + rng.normal(0, rng.uniform(0, 0.25)) * rng.normal(0, 1, (2, 2, 3)), 0, 1)
    return cv2.resize(corners.astype(np.float32), (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)


def _textured(rng):
    picture = _graded(rng)
    for _ in range(rng.integers(1, 4)):
        rows, columns = rng.integers(2, 60, 2)
        coarse = rng.normal(0, rng.uniform(0.02, 0.15), (rows, columns, 1)) + rng.normal(0, 0.03, (rows, columns, 3))
        method = cv2.INTER_NEAREST if rng.random() < 0.3 else cv2.INTER_LINEAR
        layer = cv2.resize(coarse.astype(np.float32), (CROP_SIZE, CROP_SIZE), interpolation=method)
        picture = picture + layer
    return np.clip(picture, 0, 1).astype(np.float32)


def _photo_border(rng, photos):
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


def _shoulders(rng, picture, neck, height):
    centre = neck + height * np.array([rng.normal(0, 0.1), rng.uniform(0.3, 0.5)])
    axes = height * np.array([rng.uniform(1.3, 2.0), rng.uniform(0.5, 0.7)])
    _paint(picture, _ellipse(centre, axes, rng.normal(0, 5)), _colour(rng))


def add_occluders(
    rng: np.random.Generator, picture: Float[np.ndarray, "240 240 3"], landmarks: Float[np.ndarray, "68 2"]
) -> Float[np.ndarray, "240 240 3"]:
    """The picture with random glasses and objects in front of the face, such as a hand, a microphone or a bar."""
    picture = np.ascontiguousarray(picture, np.float32)
    if rng.random() < 0.15:
        _glasses(rng, picture, landmarks)
    for _ in range(rng.choice([0, 1, 2], p=[0.75, 0.18, 0.07])):
        _occluder(rng, picture, landmarks)
    return picture


def _glasses(rng, picture, landmarks):
    right, left = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    apart = np.linalg.norm(left - right)
    angle = np.degrees(np.arctan2(*(left - right)[::-1]))
    # The glasses of a turned head appear narrower by the same factor as its eyes.
    widths = np.array([np.ptp(landmarks[36:42, 0]), np.ptp(landmarks[42:48, 0])])
    colour, thickness = rng.uniform(0, 0.4, 3), int(rng.integers(1, 4))
    lens_height, lens_width = rng.uniform(0.18, 0.3) * max(apart, widths.max()), rng.uniform(0.75, 1.0)
    dark = rng.uniform(0.5, 0.95) if rng.random() < 0.3 else rng.uniform(0, 0.1)
    rims = []
    for eye, width in zip((right, left), widths, strict=True):
        axes = np.array([lens_width * width, lens_height])
        _paint(picture, dark * _ellipse(eye, axes, angle), colour)
        cv2.ellipse(
            picture,
            (tuple(map(float, eye)), tuple(map(float, 2 * axes)), float(angle)),
            colour.tolist(),
            thickness,
            cv2.LINE_AA,
        )
        rims.append(axes[0] * (left - right) / max(apart, 1e-6))
    bridge = [tuple(int(value) for value in point) for point in (right + rims[0], left - rims[1])]
    cv2.line(picture, *bridge, colour.tolist(), thickness, cv2.LINE_AA)


def _occluder(rng, picture, landmarks):
    low, high = landmarks.min(0), landmarks.max(0)
    # Occluders lie at the rim of the face: in crops of photos, objects that hide its middle are rare.
    outward = rng.normal(size=2)
    centre = (low + high) / 2 + outward / np.linalg.norm(outward) * (high - low) * rng.uniform(0.35, 0.75)
    axes = (high - low).mean() * rng.uniform(0.05, 0.35, 2)
    draw = _ellipse if rng.random() < 0.6 else _box
    colour = _colour(rng) if rng.random() < 0.6 else _SKIN * rng.uniform(0.3, 1.2)
    _paint(picture, draw(centre, axes, rng.uniform(0, 180)), np.clip(colour, 0, 1))


def photographed(rng: np.random.Generator, picture: Float[np.ndarray, "240 240 3"]) -> UInt8[np.ndarray, "240 240 3"]:
    """The picture after the random effects of a camera and a file: blur, low resolution, tone, noise, JPEG."""
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 0.9))
    if rng.random() < 0.7:  # faces of photos are often smaller than the crop
        side = int(rng.uniform(70, CROP_SIZE))
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        picture = cv2.resize(small, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)
    picture = np.clip(picture, 0, 1) ** np.float32(rng.lognormal(0, 0.06)) * rng.normal(1, 0.03, 3).astype(np.float32)
    picture += np.float32(rng.uniform(0, 0.025)) * rng.standard_normal(picture.shape, np.float32)
    crop = np.clip(255 * picture + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        _, coded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 96))])
        crop = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return crop


def _colour(rng):
    """A random colour of an object: mostly greyish, sometimes saturated."""
    return np.clip(rng.uniform(0.03, 0.95) + rng.exponential(0.08) * rng.normal(size=3), 0, 1)


def _ellipse(centre, axes, angle):
    """Coverage [240, 240] of an ellipse with half axes `axes`, turned by degrees."""
    mask = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
    cv2.ellipse(
        mask, (tuple(map(float, centre)), tuple(map(float, 2 * axes)), float(angle)), 1.0, cv2.FILLED, cv2.LINE_AA
    )
    return mask


def _box(centre, axes, angle):
    """Coverage of a rectangle with half sides `axes`."""
    mask = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
    corners = cv2.boxPoints((tuple(map(float, centre)), tuple(map(float, 2 * axes)), float(angle)))
    cv2.fillConvexPoly(mask, np.rint(corners).astype(np.int32), 1.0)
    return mask


def _paint(picture, mask, colour):
    picture += mask[:, :, None] * (np.asarray(colour, np.float32) - picture)
