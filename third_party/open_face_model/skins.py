"""Reflectance modes: photographed skins mixed and re-toned as people are, with brows, beard, hair, lips and irises."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from third_party.open_face_model.principal_components import principal_modes
from third_party.open_face_model.regions import Regions, smooth_step

# Skin tones from the darkest to the lightest, sRGB 0–255: the curve along which melanin moves the
# average colour of facial skin.
TONES = np.array(
    [[70, 50, 42], [98, 70, 56], [132, 96, 76], [166, 125, 101], [197, 154, 128], [218, 177, 152], [233, 199, 178]]
)
# Hair and irises, linear RGB; the weights say how common they are in the world.
HAIR = np.array(
    [[0.008, 0.006, 0.005], [0.02, 0.013, 0.009], [0.06, 0.035, 0.02]]  # black, dark brown, brown
    + [[0.16, 0.10, 0.055], [0.15, 0.055, 0.025], [0.36, 0.34, 0.32]]  # blond, red, grey
)
HAIR_SHARE = np.array([0.46, 0.26, 0.12, 0.06, 0.03, 0.07])
IRIS = np.array(
    [[0.022, 0.012, 0.008], [0.06, 0.028, 0.012], [0.11, 0.065, 0.028]]  # dark brown, brown, hazel
    + [[0.09, 0.10, 0.05], [0.11, 0.16, 0.20], [0.15, 0.17, 0.18]]  # green, blue, grey
)
IRIS_SHARE = np.array([0.52, 0.26, 0.10, 0.06, 0.04, 0.02])
SCLERA = np.array([0.46, 0.41, 0.38])
PUPIL = np.array([0.006, 0.005, 0.005])
MOUTH_INSIDE = np.log([0.05, 0.016, 0.014])
LIP_RED = np.array([-0.12, -0.42, -0.34])  # log RGB of lips over skin, as far as blood goes
BLUSH = np.array([0.02, -0.12, -0.09])  # log RGB: more haemoglobin
WAVES = 60  # of the smooth fields


@dataclass(frozen=True)
class ReflectanceModes:
    """Reflectance of the standard mesh, sRGB from 0 to 1."""

    mean: np.ndarray  # [N, 3]
    modes: np.ndarray  # [80, N, 3], times their standard deviations
    sigma: np.ndarray  # [80]
    variance_explained: float


def build_reflectance(
    textures: list[np.ndarray], uv: np.ndarray, vertices: np.ndarray, regions: Regions, samples: int, count: int = 80
) -> ReflectanceModes:
    """Samples reflectances and takes their principal components.

    Args:
      textures: the skins, [H, W, 3] sRGB each.
      uv: [N, 2] one texture coordinate a vertex.
      vertices: [N, 3] the mean head, mm.
    """
    painter = Painter(textures, uv, vertices, regions)
    rng = np.random.default_rng(90210)
    colours = np.stack([painter.paint(rng) for _ in range(samples)])
    mean = colours.mean(0)
    colours -= mean
    return ReflectanceModes(mean, *principal_modes(colours, count))


class Painter:
    """Paints random people's reflectance on the vertices of the standard mesh."""

    def __init__(self, textures, uv, vertices, regions):
        logs = np.stack(
            [np.log(np.maximum(linear_of_srgb(sample_texture(texture, uv)), 0.004)) for texture in textures]
        )
        mirror = cKDTree(vertices).query(vertices * [-1, 1, 1])[1]
        logs = np.concatenate([logs, logs[:, mirror]])
        self.regions, self.vertices = regions, vertices
        self.averages = logs[:, regions.skin].mean(1)
        self.details = logs - self.averages[:, None]
        self.tones = np.log(linear_of_srgb(TONES / 255.0))

    def paint(self, rng: np.random.Generator) -> np.ndarray:
        """[N, 3] sRGB: one person."""
        lightness = rng.beta(1.9, 1.6)
        skin = self._skin(rng, lightness)
        hair = np.log(HAIR[self._hair_colour(rng, lightness)]) + rng.normal(0, 0.12)
        skin = self._blend(skin, hair, self._hair_cover(rng))
        skin = self._blend(skin, hair - 0.1, self._brows(rng))
        if rng.random() < 0.3:
            skin = self._blend(skin, hair, self._beard(rng))
        skin = self._blend(skin, MOUTH_INSIDE, self.regions.mouth_inside)
        colours = np.exp(skin)
        self._eyes(rng, colours, lightness)
        return srgb_of_linear(np.clip(colours, 0.002, 0.97)).astype(np.float32)

    def _skin(self, rng, lightness):
        """[N, 3] log RGB: the detail of up to three skins of similar lightness, added to a mean from the tone curve."""
        brightness = self.averages.mean(1)
        average = self._tone(lightness)
        likeness = np.exp(-0.5 * ((brightness - average.mean()) / 0.35) ** 2) + 1e-3
        chosen = rng.choice(len(brightness), 3, replace=False, p=likeness / likeness.sum())
        detail = np.tensordot(rng.dirichlet([0.6] * 3), self.details[chosen], 1) * rng.uniform(0.8, 1.25)
        average = average + BLUSH * rng.normal(0.2, 0.35) + rng.normal(0, 0.015, 3) + [0, 0, rng.normal(0, 0.035)]
        melanin, blood = self._field(rng), self._field(rng)
        darkening = self._tone(lightness - 0.06) - self._tone(lightness + 0.06)
        skin = average + detail + 0.30 * np.outer(melanin, darkening) + 0.35 * np.outer(blood, BLUSH)
        regions = self.regions
        flush = regions.cheeks * rng.normal(0.5, 0.7) + regions.nose_tip * rng.normal(0.4, 0.6)
        shade = regions.under_eyes * np.abs(rng.normal(0, 0.12))
        lips = regions.lips * rng.normal(0.3, 0.25)
        return skin + np.outer(flush, BLUSH) - shade[:, None] * [0.8, 1.0, 0.9] + np.outer(lips, LIP_RED)

    def _tone(self, lightness):
        position = np.clip(lightness, 0, 1) * (len(self.tones) - 1)
        return np.array([np.interp(position, np.arange(len(self.tones)), channel) for channel in self.tones.T])

    def _field(self, rng):
        """A smooth random function of position with unit variance; wavelengths from 40 mm."""
        frequencies = rng.normal(0, 1 / 45.0, (3, WAVES))
        phases = rng.uniform(0, 2 * np.pi, WAVES)
        return np.cos(self.vertices @ frequencies + phases) @ rng.normal(0, np.sqrt(2 / WAVES), WAVES)

    def _hair_colour(self, rng, lightness):
        share = HAIR_SHARE * np.where(np.arange(len(HAIR)) >= 2, lightness**2 * 1.6, 1.0)
        share[-1] = HAIR_SHARE[-1]
        return rng.choice(len(HAIR), p=share / share.sum())

    def _hair_cover(self, rng):
        if rng.random() < 0.2:
            return self.regions.hair * rng.uniform(0, 0.3)
        return self.regions.hair * rng.uniform(0.75, 0.97)

    def _brows(self, rng):
        thickness, length = rng.uniform(1.9, 3.6), rng.uniform(0.85, 1.0)
        density = np.clip(1 + 0.25 * self._field(rng), 0.6, 1.3)
        cover = self.regions.brows(thickness, length, rng.normal(0, 0.7), rng.normal(0, 0.5))
        return np.clip(cover * density * rng.uniform(0.35, 0.95), 0, 0.95)

    def _beard(self, rng):
        density = np.clip(1 + 0.4 * self._field(rng), 0.2, 1.5)
        moustache = self.regions.moustache * rng.uniform(0.3, 1)
        chin = self.regions.chin_beard * rng.uniform(0.3, 1)
        areas = moustache + chin + self.regions.cheek_beard * rng.uniform(0, 1)
        return np.clip(areas * density, 0, 1) * rng.beta(1.1, 2.0) * 0.8

    def _eyes(self, rng, colours, lightness):
        share = IRIS_SHARE * np.where(np.arange(len(IRIS)) >= 2, 2.2 * lightness**2, 1.0)
        iris = IRIS[rng.choice(len(IRIS), p=share / share.sum())] * rng.uniform(0.8, 1.25)
        sclera = SCLERA * rng.uniform(0.75, 1.1)
        for eye in self.regions.eyeballs:
            radius = eye.radius[:, None]
            ring = iris * (1 - 0.55 * smooth_step(radius, 4.6, 6.2))  # the limbus is darker
            colour = sclera * (1 - 0.35 * eye.shade[:, None])
            colour = colour + (ring - colour) * (1 - smooth_step(radius, 5.2, 6.2))
            colours[eye.vertices] = colour + (PUPIL - colour) * (1 - smooth_step(radius, 1.5, 2.5))

    @staticmethod
    def _blend(colours, over, cover):
        return colours + np.asarray(cover)[:, None] * (over - colours)


def hair_cover(dark: list[np.ndarray]) -> np.ndarray:
    """[N] from 0 to 1: how much darker than the face the scalp is in the skins whose hair contrasts most.

    Args:
      dark: colours of the dark skins on the vertices, [N, 3] sRGB each.
    """
    brightness = np.mean([linear_of_srgb(colours).mean(1) for colours in dark], axis=0)
    face, scalp = np.quantile(brightness, [0.7, 0.03])
    darkness = (np.log(face) - np.log(brightness + 1e-3)) / (np.log(face) - np.log(scalp + 1e-3))
    return np.clip(1.5 * darkness - 0.35, 0, 1)


def sample_texture(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear look-up at texture coordinates with v up: [N, C]."""
    height, width = texture.shape[:2]
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1.001)
    y = np.clip((1 - uv[:, 1]) * height - 0.5, 0, height - 1.001)
    left, top = x.astype(int), y.astype(int)
    x, y = (x - left)[:, None], (y - top)[:, None]
    texture = texture.reshape(height, width, -1)
    upper = texture[top, left] * (1 - x) + texture[top, left + 1] * x
    lower = texture[top + 1, left] * (1 - x) + texture[top + 1, left + 1] * x
    return upper * (1 - y) + lower * y


def linear_of_srgb(value: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def srgb_of_linear(value: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1."""
    return np.where(value <= 0.0031308, 12.92 * value, 1.055 * np.maximum(value, 1e-9) ** (1 / 2.4) - 0.055)
