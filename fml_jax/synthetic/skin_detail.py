"""Detail of the skin that the face model does not have: pores, blotches, freckles, wrinkles, stubble and beards.

It is drawn in a chart: the mean face, unrolled from a cylinder. All of it is part of the face, not in front of it.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float

from fml_jax.face_model.base import BaseModel
from fml_jax.synthetic.hair import hair_colour

_SIDE, _PER_MM = 512, 2.0  # chart pixels of its side, and in a mm
_RADIUS, _AXIS = 100.0, -10.0  # mm; of the cylinder, and z of its axis
_CHARTS = 8  # different ones; a face takes one, perhaps mirrored
BEARDED = 0.25  # share of faces with a beard or stubble
_OF_FRECKLES = np.array([[0.5], [0.8], [1.0]], np.float32)  # by how much they darken R, G, B
_STYLES = ("stubble", "full", "moustache", "goatee")


class _Chart(NamedTuple):
    grain: Float[np.ndarray, "512 512 3"]  # pores and blotches, about −3 to 3
    freckles: Float[np.ndarray, "512 512"]  # [0, 1]
    wrinkles: Float[np.ndarray, "512 512"]  # about −0.5 (lit side) to 1 (depth)
    hairs: Float[np.ndarray, "512 512"]  # [0, 1], evenly distributed: the density at which a hair is there


@dataclass(frozen=True)
class SkinDetail:
    """The detail of one face."""

    chart: int
    mirrored: bool
    grain: float  # strengths: relative change of the reflectance
    freckles: float
    wrinkles: float
    beard: Float[np.ndarray, "N"]  # density at each vertex, [0, 1]
    beard_colour: Float[np.ndarray, "3"]
    beard_opacity: float

    def applied(
        self,
        reflectance: Float[np.ndarray, "3 P"],
        place: Float[np.ndarray, "2 P"],
        beard: Float[np.ndarray, "P"],
        *,
        bare: Float[np.ndarray, "P"],
    ) -> Float[np.ndarray, "3 P"]:
        """The reflectance of the face's pixels with this detail.

        Args:
          place: in the chart, see `chart_places`.
          beard: the beard's density at each pixel.
          bare: how much of the pixel is skin, rather than hair, eyes or teeth.
        """
        chart = _charts()[self.chart]
        if self.mirrored:
            place = np.stack([_SIDE - 1 - place[0], place[1]])
        change = self.grain * _looked_up(chart.grain, place).T
        if self.wrinkles:
            change = change - self.wrinkles * _looked_up(chart.wrinkles, place)
        if self.freckles:
            change = change - self.freckles * _looked_up(chart.freckles, place) * _OF_FRECKLES
        skin = reflectance * np.clip(1 + bare * change, 0.3, 1.5)
        if not self.beard_opacity:
            return skin
        hairs = np.clip((beard - _looked_up(chart.hairs, place)) / 0.35, 0, 1)
        cover = self.beard_opacity * bare * hairs
        return skin + cover * (self.beard_colour.astype(np.float32)[:, None] - skin)


def chart_places(model: BaseModel) -> Float[np.ndarray, "N 2"]:
    """Where a model's vertices lie in the chart, pixels (float32)."""
    x, y, z = np.asarray(model.mean).T
    around = _RADIUS * np.arctan2(x, z - _AXIS)
    return (np.stack([around, -y], axis=1) * _PER_MM + (_SIDE - 1) / 2).astype(np.float32)


def chart_millimetres(places: Float[np.ndarray, "2 P"]) -> Float[np.ndarray, "2 P"]:
    """Distance around the chart's cylinder from the middle of the face, to the subject's left, and height, mm."""
    return (places - (_SIDE - 1) / 2) / _PER_MM * np.array([[1], [-1]], np.float32)


def sample_skin_detail(model: BaseModel, rng: np.random.Generator, *, bearded: float = BEARDED) -> SkinDetail:
    """Random detail of a face.

    Args:
      bearded: share of faces with a beard or stubble; it changes neither the rest nor the state of `rng` afterwards.
    """
    has_beard = rng.random() < bearded
    style = str(rng.choice(_STYLES, p=[0.5, 0.25, 0.1, 0.15]))
    density, opacity = rng.uniform(0.7, 1.2), 0.9
    if style == "stubble":
        density, opacity = rng.uniform(0.15, 0.5), rng.uniform(0.3, 0.7)
    return SkinDetail(
        chart=int(rng.integers(_CHARTS)),
        mirrored=bool(rng.random() < 0.5),
        grain=rng.uniform(0.005, 0.032),
        freckles=rng.uniform(0.1, 0.35) if rng.random() < 0.12 else 0.0,
        wrinkles=rng.uniform(0.04, 0.18) if rng.random() < 0.4 else 0.0,
        beard=(density * _beard_weights(model, style) if has_beard else np.zeros(model.vertex_count)).astype(
            np.float32
        ),
        beard_colour=hair_colour(rng),
        beard_opacity=opacity if has_beard else 0.0,
    )


def _beard_weights(model, style):
    """[N] where a beard of a style grows, [0, 1], with soft edges."""
    x, y, z = np.asarray(model.mean).T
    points = np.asarray(model.mean)[np.asarray(model.landmarks.fixed_vertices)[:, 0]]
    ibug = points[np.asarray(model.landmarks.ibug_from_mediapipe)]
    nose, mouth, chin = ibug[33, 1], ibug[[48, 54], 1].mean(), ibug[8, 1]
    width = np.abs(ibug[[48, 54], 0]).mean()

    def within(distance):
        return 1 / (1 + np.exp(-np.clip(distance / 2.5, -30, 30)))

    # Below a line that rises from the mouth's corner to the ear; above the jaw's underside.
    cheeks = within(mouth + 2 + 0.02 * (np.abs(x) - width).clip(0) ** 2 - y)
    jaw = cheeks * within(y - chin + 22) * within(z - 5)
    moustache = within(nose - 3 - y) * within(width + 5 - np.abs(x)) * within(y - mouth + 6)
    goatee = within(width + 3 - np.abs(x)) * within(mouth + 4 - y) * within(y - chin + 16)
    weights = {
        "stubble": np.maximum(jaw, moustache),
        "full": np.maximum(jaw, moustache),
        "moustache": moustache,
        "goatee": np.maximum(goatee, moustache * 0.9),
    }[style]
    bare = np.asarray(model.regions["lips"]) | np.asarray(model.regions["nose"]) | np.asarray(model.regions["eyes"])
    return np.where(bare, 0.0, weights)


def _looked_up(chart, place):
    """The chart's values at places [2, P]; in rows, since OpenCV takes no longer ones."""
    count = place.shape[1]
    x, y = np.pad(place, ((0, 0), (0, -count % _SIDE))).reshape(2, -1, _SIDE)
    found = cv2.remap(chart, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return found.reshape(x.size, *chart.shape[2:])[:count]


@cache
def _charts() -> tuple[_Chart, ...]:
    return tuple(_make_chart(np.random.default_rng([91, number])) for number in range(_CHARTS))


def _make_chart(rng) -> _Chart:
    pores = _noise(rng, 1.2)[:, :, None]
    blotches = _noise(rng, 10.0)[:, :, None] * np.array([0.4, 1.0, 0.9]) + 0.5 * _noise(rng, 30.0)[:, :, None]
    freckles = np.clip((_noise(rng, 1.4) - 1.7) / 0.9, 0, 1)
    return _Chart(
        np.ascontiguousarray(pores + blotches, np.float32), freckles.astype(np.float32), _wrinkles(rng), _hairs(rng)
    )


def _noise(rng, sigma):
    """Smooth noise with mean 0 and standard deviation 1."""
    noise = cv2.GaussianBlur(rng.standard_normal((_SIDE, _SIDE)).astype(np.float32), (0, 0), sigma)
    return noise / noise.std()


def _wrinkles(rng):
    """Lines across the forehead, beside the eyes, from nose to mouth, and below the eyes; mm of the mean face."""
    chart = np.zeros((_SIDE, _SIDE), np.float32)
    lines = []
    for y in np.arange(46, 74, rng.uniform(6, 10)):  # forehead
        x = np.linspace(-rng.uniform(20, 45), rng.uniform(20, 45), 12)
        lines.append(np.stack([x, y - 0.002 * x**2 + rng.normal(0, 0.8, 12)], axis=1))
    for sign in (-1, 1):
        for turn in rng.uniform(-0.6, 0.6, rng.integers(2, 5)):  # beside the eyes
            t = np.linspace(0, rng.uniform(10, 22), 6)
            lines.append(np.stack([sign * (56 + t * np.cos(turn)), 15 + t * np.sin(turn) - 0.01 * t**2], axis=1))
        t = np.linspace(0, 1, 10)
        lines.append(np.stack([sign * (19 + 14 * t), -20 - 36 * t - 5 * np.sin(np.pi * t)], axis=1))  # nose to mouth
        lines.append(np.stack([sign * (14 + 26 * t), 4 - 7 * np.sin(np.pi * t * 0.8)], axis=1))  # below the eyes
        lines.append(np.stack([sign * np.full(10, rng.uniform(4, 7)), 30 + 14 * t], axis=1))  # between the brows
    for line in lines:
        pixels = np.rint(16 * (line * [1, -1] * _PER_MM + (_SIDE - 1) / 2)).astype(np.int32)
        one = np.zeros_like(chart)
        cv2.polylines(one, [pixels], False, 1.0, 2, cv2.LINE_8, shift=4)
        chart += rng.uniform(0.3, 1.0) * one
    deep = cv2.GaussianBlur(chart, (0, 0), 1.8)
    return (2.5 * deep - 1.6 * cv2.GaussianBlur(chart, (0, 0), 4.0)).astype(np.float32)


def _hairs(rng):
    """Short strokes downwards, as ranks: their values are evenly distributed over [0, 1]."""
    drawn = np.zeros((_SIDE, _SIDE), np.float32)
    for _ in range(9000):
        x, y = rng.integers(0, _SIDE, 2)
        end = x + int(rng.normal(0, 3)), y + int(rng.integers(4, 12))
        cv2.line(drawn, (int(x), int(y)), end, float(rng.random()), 1)
    smooth = cv2.GaussianBlur(drawn + 0.1 * rng.random((_SIDE, _SIDE), np.float32), (0, 0), 0.7)
    ranks = smooth.ravel().argsort().argsort().reshape(_SIDE, _SIDE)
    return (1 - ranks / ranks.max()).astype(np.float32)
