"""Glasses: round to rectangular lenses in thin, thick, half or no frames, clear or tinted."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from fml_jax.synthetic.occluders.materials import dark_colour, object_colour
from fml_jax.synthetic.occluders.surfaces import Surface, grid_surface, joined, tube
from fml_jax.synthetic.occluders.wearer import Wearer

_POINTS = 36  # of a lens's outline
_METAL = np.array([0.72, 0.68, 0.55])


def make_glasses(rng: np.random.Generator, wearer: Wearer, *, tinted: bool | None = None) -> Surface:
    """Random glasses on a head.

    Args:
      tinted: whether they are sunglasses; by default this is random.
    """
    tinted = rng.random() < 0.35 if tinted is None else tinted
    style = rng.choice(["full", "half", "rimless"], p=[0.75, 0.15, 0.1])
    metal = style != "full" or rng.random() < 0.45
    thickness = rng.uniform(0.5, 0.9) if metal else rng.uniform(1.1, 3.2)
    colour = _frame_colour(rng, metal)
    gloss = rng.uniform(0.3, 0.9)
    outlines = _outlines(rng, wearer, large=tinted)
    look = _lens_look(rng, tinted)
    parts = []
    for outline in outlines:
        parts.append(_lens(outline, look))
        if style == "full":
            parts.append(tube(outline, thickness, colour, closed=True, sides=6, gloss=gloss))
        elif style == "half":
            parts.append(tube(outline[: _POINTS // 2 + 1], thickness, colour, sides=6, gloss=gloss))
    parts.append(tube(_bridge(outlines, rng), max(0.7, thickness), colour, sides=6, gloss=gloss))
    for side, outline in enumerate(outlines):
        parts.append(tube(_arm(wearer, side, outline), rng.uniform(0.6, 1.8), colour, sides=6, gloss=gloss))
    return joined(parts)


def _frame_colour(rng, metal):
    if metal:
        return np.clip(_METAL * rng.uniform(0.3, 1.2) + rng.normal(0, 0.05, 3), 0.02, 1)
    return dark_colour(rng) if rng.random() < 0.75 else object_colour(rng)


def _outlines(rng, wearer: Wearer, *, large: bool) -> list[Float[np.ndarray, "36 3"]]:
    """The outlines of the lenses of the subject's right and left eye; each begins at its outer side, then goes up."""
    points, scale = wearer.landmarks, wearer.scale
    width = scale * rng.uniform(21, 28 if large else 26)
    height = scale * rng.uniform(15, 26) if large else scale * rng.uniform(11, 21)
    exponent, droop = rng.uniform(2, 5), rng.uniform(-0.15, 0.35)
    wrap, tilt = rng.uniform(0.02, 0.18), rng.uniform(0.02, 0.15)
    middle = (points[36:42].mean(axis=0) + points[42:48].mean(axis=0)) / 2
    apart = max(0.5 * np.linalg.norm(points[36:42].mean(axis=0) - points[42:48].mean(axis=0)), width + 4 * scale)
    down = scale * rng.uniform(-1, 5)
    brows = points[[18, 19, 20, 23, 24, 25], 2].max()
    front = max(brows, points[27, 2], points[36:48, 2].max() + 8) + rng.uniform(1, 4)
    angle = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
    across = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / exponent)
    up = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / exponent)
    across = across * (1 - droop * 0.5 * (1 - up))  # narrower below, as in aviators' glasses
    outlines = []
    for sign in (-1, 1):
        x = middle[0] + sign * (apart + width * across)
        y = middle[1] - down + height * up
        z = front - wrap * (apart + width * across) + tilt * height * up
        outlines.append(np.stack([x, y, z], axis=1))
    return outlines


class _Look(NamedTuple):
    """What both lenses look like."""

    colour: Float[np.ndarray, "3"]
    opacity: float
    gloss: float
    fades: float  # how much less opaque they are at the lower end


def _lens_look(rng, tinted) -> _Look:
    if not tinted:
        return _Look(np.ones(3), rng.uniform(0.02, 0.1), rng.uniform(0.1, 0.6), 0.0)
    colour = dark_colour(rng) if rng.random() < 0.85 else 0.6 * object_colour(rng)
    fades = rng.uniform(0, 0.5) if rng.random() < 0.3 else 0.0
    return _Look(colour, rng.uniform(0.62, 1.0), rng.uniform(0.3, 1.0), fades)


def _lens(outline, look: _Look):
    """A slightly bulging disc within an outline."""
    centre = outline.mean(axis=0)
    rings = np.array([0.0, 0.35, 0.7, 1.0])[:, None, None]
    points = centre + rings * (outline - centre)
    points[:, :, 2] += 2.5 * (1 - rings[:, :, 0] ** 2)
    bulging = points.reshape(-1, 3) - (centre - [0, 0, 70])
    bulging /= np.linalg.norm(bulging, axis=1, keepdims=True)
    lens = grid_surface(points, look.colour, closed=True, gloss=look.gloss)
    above = (lens.vertices[:, 1] - outline[:, 1].min()) / np.ptp(outline[:, 1])
    return lens._replace(normals=bulging, opacity=np.clip(look.opacity - look.fades * (1 - above), 0, 1))


def _bridge(outlines, rng):
    """An arch between the inner sides of the lenses."""
    right, left = (outline[_POINTS // 2 - 2] for outline in outlines)
    t = np.linspace(0, 1, 7)[:, None]
    arch = np.sin(np.pi * t) * np.array([0, rng.uniform(0, 4), 2.0])
    return right + t * (left - right) + arch


def _arm(wearer: Wearer, side, outline):
    """From a lens's outer upper side to the ear and behind it."""
    hinge = outline[2] + np.array([0, 0, -1])
    ear = wearer.over_ear(side)
    outwards = np.array([3.0 if side else -3.0, 0, 0])
    behind = ear + outwards + np.array([0, -14, -22])
    bend = np.array([ear[0] + outwards[0], hinge[1], hinge[2] - 12])
    return np.stack([hinge, bend * [0.5, 1, 1] + hinge * [0.5, 0, 0] + outwards / 2, ear + outwards, behind])
