"""Microphones before mouth and chin: in the hand, on a stand, or several of reporters."""

import numpy as np

from fml_jax.synthetic.occluders.materials import dark_colour, object_colour
from fml_jax.synthetic.occluders.surfaces import Surface, ellipsoid, joined, tube
from fml_jax.synthetic.occluders.wearer import Wearer


def make_microphone(rng: np.random.Generator, wearer: Wearer) -> Surface:
    """One to three microphones, from below or from the side."""
    count = rng.choice([1, 2, 3], p=[0.75, 0.15, 0.1])
    return joined([part for _ in range(count) for part in _microphone(rng, wearer)])


def _microphone(rng, wearer: Wearer):
    mouth = wearer.landmarks[48:60].mean(axis=0)
    radius = rng.uniform(14, 26)
    head = mouth + [rng.normal(0, 22), rng.uniform(-42, 2), 0]
    head[2] = wearer.front(head[:1], head[1:2])[0] + radius + rng.uniform(5, 60)
    away = np.array([rng.normal(0, 0.5), -1.0, rng.uniform(0.0, 0.9)])
    away /= np.linalg.norm(away)
    side = np.cross(away, [0, 0, 1.0])
    side /= np.linalg.norm(side)
    axes = radius * np.stack([1.25 * away, side, np.cross(away, side)])
    metal = rng.random() < 0.4
    foam = dark_colour(rng) if rng.random() < 0.7 else object_colour(rng)
    colour = np.full(3, rng.uniform(0.3, 0.7)) if metal else foam
    ball = ellipsoid(head, axes, colour, rows=17, columns=30, gloss=0.5 if metal else 0.02)
    rough = 1 + (0.35 if metal else 0.2) * rng.normal(size=(len(ball.vertices), 1))
    parts = [ball._replace(reflectance=np.clip(ball.reflectance * rough, 0, 1))]
    handle = rng.uniform(4, 14)
    start = head + 1.1 * radius * away
    path = np.stack([start, start + 90 * away, start + 260 * away])
    parts.append(tube(path, handle, dark_colour(rng), sides=10, gloss=0.4))
    if rng.random() < 0.3:  # a station's sign
        sign = tube(np.stack([start + 12 * away, start + 50 * away]), 24.0, object_colour(rng), sides=4)
        parts.append(sign)
    return parts
