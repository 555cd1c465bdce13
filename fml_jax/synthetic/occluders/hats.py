"""Hats: caps with a peak, hats with a brim all round, knitted caps."""

import numpy as np
from jaxtyping import Float

from fml_jax.synthetic.occluders.materials import object_colour, patterned
from fml_jax.synthetic.occluders.surfaces import Surface, grid_surface, joined
from fml_jax.synthetic.occluders.wearer import Wearer

_AROUND = 48


def make_hat(rng: np.random.Generator, wearer: Wearer) -> Surface:
    """A random hat on a head."""
    kind = rng.choice(["cap", "brim", "knitted"], p=[0.45, 0.3, 0.25])
    colour = object_colour(rng)
    brows = wearer.landmarks[17:27, 1].mean()
    line = brows + wearer.scale * (rng.uniform(4, 22) if kind == "knitted" else rng.uniform(10, 32))
    tilt = rng.normal(-0.12, 0.06)  # rises towards the back by so much
    rim, dome = _dome(rng, wearer, line, tilt)
    parts = [_cloth(rng, dome, colour, ribbed=kind == "knitted")]
    if kind == "cap":
        parts.append(_brim(rng, rim, rng.uniform(45, 75), colour, peak=True))
    elif kind == "brim":
        parts.append(_brim(rng, rim, rng.uniform(35, 80), colour, peak=False))
    return joined(parts)


def _dome(rng, wearer: Wearer, line, tilt):
    """The rim [48, 3] about the head at a height, and the points [rows, 48, 3] from there to the top."""
    x, y, z = wearer.vertices.T
    covered = wearer.vertices[y > line - 5]
    half_width = np.abs(covered[:, 0]).max() + rng.uniform(3, 8)
    back, front = covered[:, 2].min() - 8, covered[:, 2].max() + rng.uniform(2, 6)
    height = y.max() + rng.uniform(8, 35) - line
    angle = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    middle, depth = (front + back) / 2, (front - back) / 2
    rim = np.stack([half_width * np.sin(angle), np.full(_AROUND, line), middle + depth * np.cos(angle)], axis=1)
    up = np.linspace(0, 1, 12)[:, None]
    squareness = rng.uniform(2.0, 3.2)
    radius = (1 - up**squareness) ** (1 / squareness)
    centre = np.array([0, line, middle])
    dome = centre + (rim - centre)[None] * np.array([1, 0, 1]) * radius[:, :, None]
    dome[:, :, 1] = line + height * up
    for points in (rim, dome):
        points[..., 1] -= tilt * (points[..., 2] - front)
    return rim, dome


def _cloth(rng, dome, colour, *, ribbed):
    colours = patterned(rng, dome, colour)
    if ribbed:
        rows = np.arange(len(dome))[:, None, None]
        ribs = 1 + 0.18 * np.sin(np.arange(_AROUND) * np.pi)[None, :, None] + 0.1 * rng.normal(size=(1, _AROUND, 1))
        colours = colours * ribs * np.where(rows < 3, 0.9, 1.0)
    return grid_surface(dome, np.clip(colours * (1 + 0.03 * rng.normal(size=(*dome.shape[:2], 1))), 0, 1), closed=True)


def _brim(rng, rim: Float[np.ndarray, "48 3"], width, colour, *, peak: bool) -> Surface:
    """A brim about the whole rim, or a peak before its front."""
    centre = rim.mean(axis=0)
    outwards = (rim - centre) * [1, 0, 1]
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    angle = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    before = (np.cos(angle) + 1) / 2
    widths = width * (np.clip(np.cos(angle), 0, 1) ** 0.6 if peak else np.ones(_AROUND))
    droop = rng.uniform(-0.1, 0.25) + rng.uniform(0, 0.35) * np.abs(np.sin(angle)) * before
    steps = np.linspace(0, 1, 6)[:, None, None]
    slope = outwards - droop[:, None] * np.array([0, 1, 0])
    if peak:  # straight ahead, not radially
        slope = slope * [0.35, 1, 1]
    return grid_surface(rim + steps * widths[:, None] * slope, colour * rng.uniform(0.7, 1.1), closed=True)
