"""Eyeballs with fewer vertices, the build's last step: what the other steps found stays as it is, number for number.

Between the open lids the full eyeballs hold a sixth of the photometric region's vertices, so that a mean over vertices
would listen to eyes too much. The coarse ones reach further back, so that no edge comes out when eyes turn.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fml_jax.face_model.subdivision import triangulate
from fml_jax.face_model.surfaces import closest_on_surface
from third_party.open_face_model.head_mesh import EYE
from third_party.open_face_model.ict_head import MERIDIANS, Head, quads_of_rings
from third_party.open_face_model.repairs import eyeball_centre

KEPT_MERIDIANS = 16
# Pupil, iris and the white keep their edges: rings 4 to 6 lie about the first edge, 12 to 14 about the second.
KEPT_RINGS = (2, 4, 5, 6, 8, 10, 12, 13, 14, 16, 18, 20, 22, 23)
BACK_STEPS = (18.0, 36.0)  # degrees behind the last kept ring, seen from the eyeball's centre
_WHITE = slice(14, 21)  # rings of the full eyeball that are nearest to the centre around which it turns
_UV_STEP = 1.1  # from one ring of the back to the next, factor on its distance from the disc's middle


class _BackRing(NamedTuple):
    """A ring behind the last one: that ring, wider, and moved along the axis.

    Both are affine in the eyeball's vertices, so that modes follow by the same rule.
    """

    width: float  # factor on the last ring's radius
    depth: float  # of the distance between the first ring's plane and the last one's


@dataclass(frozen=True)
class CoarseMesh:
    """The mesh with coarse eyeballs, whose last rings are new."""

    balls: list[np.ndarray]  # the kept vertices of the left and of the right eyeball, by ring, numbers of the full mesh
    uv_start: int  # the first row of the eyeballs' uv
    uv_shift: int  # from an eyeball's vertex of the full mesh to its row of uv
    quads: np.ndarray  # [Q, 4]
    uv_quads: np.ndarray  # [Q, 4]
    parts: np.ndarray  # [Q], as in `Head`


def coarse_mesh(head: Head) -> CoarseMesh:
    """Keeps every second meridian and the rings `KEPT_RINGS` of each eyeball; adds the back's rings."""
    within = MERIDIANS * np.array(KEPT_RINGS)[:, None] + np.arange(0, MERIDIANS, MERIDIANS // KEPT_MERIDIANS)
    rings = len(KEPT_RINGS) + len(BACK_STEPS)
    ball = quads_of_rings(rings, KEPT_MERIDIANS)
    skin = head.parts != EYE
    of_balls = np.split(head.quads[~skin], 2)
    first, uv_start = int(head.eyeballs[0][0]), int(head.uv_quads[skin].max()) + 1
    quads, uv_quads = [head.quads[skin]], [head.uv_quads[skin]]
    for side, (vertices, full) in enumerate(zip(head.eyeballs, of_balls, strict=True)):
        # Quads of the left and of the right eyeball go round in opposite directions.
        same_direction = np.array_equal(full[0] - vertices[0], quads_of_rings(2, MERIDIANS)[0])
        turned = ball if same_direction else ball[:, [0, 3, 2, 1]]
        quads.append(turned + first + side * rings * KEPT_MERIDIANS)
        uv_quads.append(turned + uv_start + side * rings * KEPT_MERIDIANS)
    parts = np.concatenate([head.parts[skin], np.full(2 * len(ball), EYE)])
    balls = [vertices[0] + within.ravel() for vertices in head.eyeballs]
    return CoarseMesh(balls, uv_start, uv_start - first, np.concatenate(quads), np.concatenate(uv_quads), parts)


def with_coarse_eyes(arrays: dict[str, np.ndarray], head: Head) -> dict[str, np.ndarray]:
    """The model file's arrays with coarse eyeballs.

    Values of vertices that stay are the same; landmarks on the eyeballs move to the nearest points of the new ones.

    Args:
      arrays: of the model on the full mesh.
      head: that mesh.
    """
    mesh, first = coarse_mesh(head), head.eyeballs[0][0]
    backs = [_back_rings(arrays["mean"][ball].astype(float)) for ball in head.eyeballs]
    changed = {}
    for name in ("mean", "identity", "expression"):
        of_skin = arrays[name][..., :first, :]
        of_balls = [_with_back(arrays[name][..., ball, :], back) for ball, back in zip(mesh.balls, backs, strict=True)]
        changed[name] = np.concatenate([of_skin, *of_balls], axis=-2)
    last = [np.concatenate([ball, *[ball[-KEPT_MERIDIANS:]] * len(BACK_STEPS)]) for ball in mesh.balls]
    copied = np.concatenate([np.arange(first), *last])
    for name in ("reflectance_mean", "reflectance"):
        changed[name] = arrays[name][..., copied, :]
    changed["regions"] = arrays["regions"][:, copied]
    for ball in range(2):
        back = first + (ball + 1) * len(last[0]) - np.arange(1, 1 + len(BACK_STEPS) * KEPT_MERIDIANS)
        changed["regions"][arrays["region_names"] == "face", back] = False
    kept = arrays["fine_quads"][head.parts != EYE]
    changed["fine_quads"] = np.concatenate([kept, np.ones(len(mesh.quads) - len(kept), bool)])
    changed["quads"] = mesh.quads.astype(arrays["quads"].dtype)
    changed["uv"], changed["uv_quads"] = coarse_uv(arrays["uv"], mesh), mesh.uv_quads.astype(arrays["uv_quads"].dtype)
    return arrays | changed | _landmarks(arrays, mesh, changed["mean"].astype(float), first)


def coarse_uv(uv: np.ndarray, mesh: CoarseMesh) -> np.ndarray:
    """Texture coordinates [M, 2] of the coarse mesh, out of those of the full one."""
    of_balls = []
    for ball in mesh.balls:
        front = uv[ball + mesh.uv_shift]
        middle = front[:KEPT_MERIDIANS].mean(0)
        backs = [middle + (front[-KEPT_MERIDIANS:] - middle) * _UV_STEP**k for k in range(1, len(BACK_STEPS) + 1)]
        of_balls += [front, *backs]
    return np.concatenate([uv[: mesh.uv_start], *of_balls]).astype(uv.dtype)


def _back_rings(ball: np.ndarray) -> list[_BackRing]:
    """The rings behind the front of a full eyeball [E, 3], on a sphere around the centre of its turns."""
    rings = ball.reshape(-1, MERIDIANS, 3)
    pole, last, middle = rings[0].mean(0), rings[KEPT_RINGS[-1]].mean(0), eyeball_centre(ball)
    reach = np.linalg.norm(last - pole)
    radius = np.linalg.norm(rings[KEPT_RINGS[-1]] - last, axis=1).mean()
    centre = (middle - last) @ (last - pole) / reach
    whole = np.linalg.norm(rings[_WHITE] - middle, axis=-1).mean()
    angle = np.arctan2(radius, centre)
    angles = [angle + np.radians(step) for step in BACK_STEPS]
    return [_BackRing(whole * np.sin(a) / radius, (centre - whole * np.cos(a)) / reach) for a in angles]


def _with_back(values: np.ndarray, back: list[_BackRing]) -> np.ndarray:
    """Places or modes [..., K, 3] of a ball's kept vertices, and of the rings behind them."""
    exact = values.astype(float)
    last = exact[..., -KEPT_MERIDIANS:, :]
    plane, pole = last.mean(-2, keepdims=True), exact[..., :KEPT_MERIDIANS, :].mean(-2, keepdims=True)
    rings = [plane + ring.width * (last - plane) + ring.depth * (plane - pole) for ring in back]
    new = np.concatenate(rings, axis=-2)
    rounded = np.rint(new) if np.issubdtype(values.dtype, np.integer) else new
    return np.concatenate([values, rounded.astype(values.dtype)], axis=-2)


def _landmarks(arrays, mesh, new_mean, first):
    """The 478 landmarks; those that rest on vertices before `first` stay."""
    vertices, weights = arrays["landmarks478_vertices"].copy(), arrays["landmarks478_weights"].copy()
    on_eyes = (vertices >= first).any(1)
    points = (arrays["mean"].astype(float)[vertices[on_eyes]] * weights[on_eyes, :, None]).sum(1)
    triangles = triangulate(mesh.quads[mesh.parts == EYE])
    vertices[on_eyes], weights[on_eyes] = closest_on_surface(points, new_mean, triangles)
    return {"landmarks478_vertices": vertices, "landmarks478_weights": weights}
