"""Face masks: surgical, of cloth, and with a ridge; over the nose or below it."""

import numpy as np
from jaxtyping import Float

from fml_jax.synthetic.occluders.materials import object_colour, patterned
from fml_jax.synthetic.occluders.surfaces import Surface, grid_surface, joined, tube
from fml_jax.synthetic.occluders.wearer import Wearer

_ROWS, _COLUMNS = 25, 25
_SURGICAL = np.array([[0.62, 0.80, 0.88], [0.60, 0.83, 0.78], [0.88, 0.90, 0.92], [0.93, 0.78, 0.82]])


def make_mask(rng: np.random.Generator, wearer: Wearer) -> Surface:
    """A random mask on a head, held by loops about the ears."""
    kind = rng.choice(["surgical", "cloth", "ridged"], p=[0.5, 0.3, 0.2])
    points = _cloth(rng, wearer, low=rng.random() < 0.12, ridge=rng.uniform(4, 10) if kind == "ridged" else 0.0)
    if kind == "surgical":
        height = np.linspace(0, 1, _ROWS)[:, None]
        points[:, :, 2] += 1.6 * np.mod(height * rng.integers(3, 5), 1.0)  # pleats
        colour = _SURGICAL[rng.choice(4, p=[0.55, 0.15, 0.25, 0.05])] * rng.uniform(0.85, 1.05)
    elif kind == "ridged":
        colour = np.full(3, rng.uniform(0.85, 0.95)) if rng.random() < 0.7 else object_colour(rng)
    else:
        colour = np.full(3, 0.06) if rng.random() < 0.35 else object_colour(rng)
    colours = patterned(rng, points, colour) if kind == "cloth" else np.broadcast_to(colour, points.shape)
    wrinkles = 1 + 0.06 * rng.normal(size=(_ROWS, 1, 1)) + 0.02 * rng.normal(size=(_ROWS, _COLUMNS, 1))
    mask = grid_surface(points, np.clip(colours * wrinkles, 0, 1), gloss=0.03)
    loops = [_loop(wearer, side, points[:, -1 if side else 0]) for side in (0, 1)]
    return joined([mask, *(tube(loop, 0.9, np.clip(colour, 0.05, 0.95), sides=5) for loop in loops)])


def _cloth(rng, wearer: Wearer, *, low: bool, ridge: float) -> Float[np.ndarray, "25 25 3"]:
    """The mask's points: rows from the nose to below the chin, columns from the subject's right to the left."""
    points, scale = wearer.landmarks, wearer.scale
    t = rng.uniform(0.2, 1.0)
    nose = points[33] + [0, -2, 2] if low else (1 - t) * points[28] + t * points[29] + [0, 0, 2]
    chin = points[8] + scale * np.array([0, rng.uniform(-14, -4), -4])
    half_width = scale * rng.uniform(52, 66)
    down = np.linspace(0, 1, _ROWS)[:, None]
    across = np.linspace(-1, 1, _COLUMNS)[None, :]
    edge_top = nose[1] - scale * rng.uniform(8, 20)  # the upper corners hang lower than the nose's middle
    edge_bottom = points[[4, 12], 1].mean() + scale * rng.uniform(-12, 4)
    top = nose[1] + (edge_top - nose[1]) * np.abs(across) ** 1.5
    bottom = chin[1] + (edge_bottom - chin[1]) * np.abs(across) ** 1.8
    y = top + (bottom - top) * down
    x = nose[0] * (1 - np.abs(across)) + half_width * across * (1 - 0.1 * down)
    # Stretched between nose tip, chin and cheeks: nowhere behind the face, and without its hollows.
    tip = max(points[30, 2] if not low else points[33, 2], points[51, 2] + 3, points[57, 2] + 3)
    profile = np.interp(down[:, 0], [0, 0.3, 0.75, 1], [nose[2], tip + 3, tip - 2, chin[2]])[:, None]
    sides = wearer.front(np.array([-half_width, half_width]), np.full(2, points[[2, 14], 1].mean()))
    edge = np.where(across < 0, sides[0], sides[1]) + 1
    stretched = edge + (profile - edge) * (1 - np.abs(across) ** 2.2)
    stretched = stretched + ridge * np.exp(-((across / 0.12) ** 2)) * np.sin(np.pi * down)
    surface = wearer.front(x, y)
    return np.stack([x, y, np.maximum(stretched, np.minimum(surface + 2, stretched + 12))], axis=2)


def _loop(wearer: Wearer, side, edge):
    """The path of a loop from the mask's upper corner about the ear to its lower corner."""
    outwards = np.array([2.5 if side else -2.5, 0, 0])
    over, under = wearer.over_ear(side) + outwards, wearer.under_ear(side) + outwards
    upper, lower = edge[1], edge[-2]
    to_ear, from_ear = (upper + over) / 2 + outwards, (under + lower) / 2 + outwards
    return np.stack([upper, to_ear, over, under + [0, 0, -6], from_ear, lower])
