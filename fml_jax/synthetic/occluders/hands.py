"""Hands before mouth, chin, cheek or temple: fingers as bent tubes, a palm, nails, a forearm."""

from typing import NamedTuple

import numpy as np

from fml_jax.synthetic.occluders.materials import object_colour, skin_like
from fml_jax.synthetic.occluders.surfaces import Surface, ellipsoid, joined, tube
from fml_jax.synthetic.occluders.wearer import Wearer, smooth_along

_FINGER_LENGTHS = (66.0, 76.0, 71.0, 56.0)  # mm from the knuckle, index finger first
_FINGER_RADII = (9.2, 9.4, 9.0, 8.0)
_ROOT = 12.0  # mm by which fingers begin within the palm
_NAIL = np.array([0.05, 0.02, 0.02])  # how much lighter nails are than skin


class _Pose(NamedTuple):
    target: int  # landmark at which the middle finger's tip is
    direction: float  # of the fingers, degrees anticlockwise from the subject's left, seen from the front
    fingers: tuple[int, int]  # fewest and most fingers that are stretched
    spread: float  # standard deviation of the target, mm


# Of the subject's right hand, which is at the left in the picture; the left hand's poses are their mirror images.
_POSES = (
    _Pose(4, 80, (2, 4), 9),  # along the jaw, fingers on the cheek
    _Pose(6, 60, (3, 4), 9),  # the chin in the hand
    _Pose(57, 20, (3, 4), 10),  # over the mouth
    _Pose(33, 55, (1, 2), 6),  # a finger to the lips and nose
    _Pose(17, 75, (1, 3), 8),  # at the temple
    _Pose(19, 50, (3, 4), 14),  # over an eye
    _Pose(8, 70, (2, 4), 8),  # at the chin
)


def make_hand(rng: np.random.Generator, wearer: Wearer) -> Surface:
    """A random hand that touches the face, its fingers along the face's surface."""
    pose = _POSES[rng.choice(len(_POSES), p=[0.22, 0.16, 0.16, 0.14, 0.1, 0.08, 0.14])]
    mirrored = rng.random() < 0.5
    skin = skin_like(rng, wearer.skin)
    size = wearer.scale * rng.uniform(0.85, 1.1)
    angle = np.radians(pose.direction + rng.normal(0, 14))
    target = wearer.landmarks[pose.target] + rng.normal(0, pose.spread, 3)
    if mirrored:
        angle, target = np.pi - angle, target * [-1, 1, 1]
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([along[1], -along[0]]) * (-1 if mirrored else 1)
    count = rng.integers(pose.fingers[0], pose.fingers[1] + 1)
    first = rng.integers(0, 4 - count + 1) if count < 3 else 0
    tips = target[:2] - along * size * _FINGER_LENGTHS[1]
    ends = np.stack([tips, tips - along * size * 42])
    height = max(wearer.front(ends[:, 0], ends[:, 1]).max(), 40.0) + size * 9
    parts: list[Surface] = []
    for finger in range(4):
        stretched = first <= finger < first + count
        knuckle = tips + across * size * 17.5 * (finger - 1.5)
        fan = along + across * (finger - 1.5) * rng.normal(0.03, 0.02)
        start, radius = knuckle - _ROOT * along, size * _FINGER_RADII[finger]
        if stretched:
            length = size * rng.uniform(0.9, 1.05) * _FINGER_LENGTHS[finger] + _ROOT
            path = _on_face(wearer, start, fan, length, radius)
        else:  # curled: its first part is seen above the knuckle
            ends = np.stack([start, knuckle + size * rng.uniform(8, 20) * fan])
            path = np.column_stack([ends, np.full(2, height)])
        parts += _finger(rng, path, radius, skin, nail=stretched)
    parts += _palm(rng, tips, along, size=size, height=height, skin=skin)
    ball = tips - along * size * 56 - across * size * 36
    parts += _thumb(rng, wearer, ball, along - 0.5 * across, size=size, skin=skin)
    return joined(parts)


def _on_face(wearer: Wearer, start, direction, length, radius, points=9):
    """A finger's axis: straight as seen from the front, and above the face's surface."""
    direction = direction / np.linalg.norm(direction)
    line = start + np.linspace(0, length, points)[:, None] * direction
    height = wearer.front(line[:, 0], line[:, 1])
    # A finger bends less than the face under it.
    lifted = np.maximum(smooth_along(height, 2.0), height - 4) + 0.9 * radius
    return np.column_stack([line, lifted])


def _finger(rng, path, radius, skin, *, nail):
    """A finger with two joints, redder towards its tip."""
    share = np.linspace(0, 1, len(path))
    joints = 1 + 0.08 * np.exp(-(((share - 0.45) / 0.08) ** 2)) + 0.06 * np.exp(-(((share - 0.75) / 0.06) ** 2))
    finger = tube(path, radius * joints * (1 - 0.22 * share), skin, sides=10, gloss=0.12)
    rows = len(finger.vertices) // 10
    red = np.linspace(0, 1, rows).repeat(10)[:, None] * np.array([0.02, -0.03, -0.03])
    creases = 1 - 0.15 * np.isin(np.arange(rows), [rows // 2, 3 * rows // 4]).repeat(10)[:, None]
    parts = [finger._replace(reflectance=np.clip((finger.reflectance + red) * creases, 0, 1))]
    if nail and rng.random() < 0.7:
        tip, before = path[-1], path[-2]
        along = (tip - before) / np.linalg.norm(tip - before)
        side = np.cross(along, [0, 0, 1])
        side /= max(np.linalg.norm(side), 1e-6)
        up = np.cross(side, along)
        axes = np.stack([0.6 * radius * along, 0.5 * radius * side, 0.25 * radius * up])
        centre = tip - 0.05 * radius * along + 0.68 * radius * up
        parts.append(ellipsoid(centre, axes, np.clip(skin + _NAIL, 0, 1), rows=6, columns=8, gloss=0.4))
    return parts


def _palm(rng, knuckles, along, *, size, height, skin):
    """The back of the hand, and the forearm with or without a sleeve."""
    centre, wrist = knuckles - along * size * 42, knuckles - along * size * 90
    path = np.column_stack([np.stack([knuckles + along * size * 4, centre, wrist]), [height, height + 3, height + 5]])
    palm = tube(path, size * np.array([37.0, 40, 29]), skin, sides=18, flatness=0.36, gloss=0.1)
    elbow = wrist - along * size * 260
    arm_path = np.stack([path[-1], [*((wrist + elbow) / 2), height + 20], [*elbow, height + 10]])
    sleeve = skin if rng.random() < 0.5 else object_colour(rng)
    return [palm, tube(arm_path, size * np.array([27.0, 34, 40]), sleeve, sides=14, flatness=0.8)]


def _thumb(rng, wearer: Wearer, base, direction, *, size, skin):
    path = _on_face(wearer, base, direction, size * rng.uniform(40, 62), size * 9)
    return _finger(rng, path, size * 9, skin, nail=True)
