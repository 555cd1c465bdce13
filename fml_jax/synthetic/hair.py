"""The hair of synthetic faces: colour on the scalp's mesh, locks over forehead and temples, long hair behind."""

from dataclasses import dataclass

import cv2
import jax
import numpy as np
from jaxtyping import Float

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel
from fml_jax.image_formation.camera import CROP_SIZE, project, to_camera
from fml_jax.ops.images import unit_range
from fml_jax.synthetic.occluders.layers import Layer
from fml_jax.synthetic.occluders.wearer import Wearer, smooth_along

# Black, dark brown, brown, auburn, blond, grey, white.
_COLOURS = np.array(
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
_SHARES = np.array([0.3, 0.22, 0.17, 0.06, 0.1, 0.1, 0.05])
_BALD = 0.12  # share of heads
_STRANDS, _POINTS = 400, 10  # of locks: strands in all, and points of each
_FINER = 2  # locks are drawn in a picture so many times as large as the crop


@dataclass(frozen=True)
class Hair:
    """The hair of a head, as colour on the mesh, and the long hair behind the face."""

    cover: Float[np.ndarray, "N"]  # float32 in [0, 1]; 0 is bare skin
    colour: Float[np.ndarray, "3"]  # float32, RGB
    thickness: np.float32  # mm by which it lifts the surface
    length: float  # of the hair behind the face, in face heights below the brows; 0 is none


def sample_hair(model: BaseModel, rng: np.random.Generator, *, over_face: bool = True) -> Hair:
    """Random hair: none, a fringe, swept back, over the ears or not.

    Args:
      over_face: whether it reaches over the forehead and the temples; otherwise it begins beside the face.
    """
    mean = np.asarray(model.mean)
    colour = hair_colour(rng).astype(np.float32)
    if not over_face and rng.random() < _BALD:
        return Hair(np.zeros(len(mean), np.float32), colour, np.float32(0), 0.0)
    cover = _cover(model, mean, rng, over_face)
    length = rng.uniform(0.4, 1.6) if rng.random() < 0.4 else 0.0
    return Hair(cover, colour, np.float32(rng.uniform(2, 14)), length)


def hair_colour(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """A natural colour of hair, RGB."""
    colour = _COLOURS[rng.choice(len(_COLOURS), p=_SHARES)]
    return np.clip(colour * rng.lognormal(0, 0.2) * rng.lognormal(0, 0.05, 3), 0, 1)


def _cover(model, mean, rng, over_face):
    """Signed distances (mm, positive under hair) from a wavy hairline and from a plane behind the cheeks."""
    brow, chin, cheek = _anchors(model, mean)
    height = brow[1] - chin[1]
    x, y, z = mean.T
    wave = rng.uniform(0, 4) * np.sin(x / rng.uniform(4, 15) + rng.uniform(0, 2 * np.pi))
    wave = wave + rng.uniform(0, 2) * np.sin(x / rng.uniform(1.5, 3) + rng.uniform(0, 2 * np.pi))
    recess = rng.uniform(-0.1, 0.25) * height * (x / 60) ** 2 + rng.uniform(-0.15, 0.15) * x
    line = brow[1] + height * (rng.uniform(0.12, 0.33) if over_face else rng.uniform(0.33, 0.48))
    on_top = y - line + (recess if over_face else np.minimum(recess, 0)) + wave
    plane = cheek[2] + (rng.uniform(-15, 8) if over_face else rng.uniform(-30, -18))
    behind = np.minimum(plane - z, y - rng.uniform(chin[1], brow[1]))
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


def grain(rng: np.random.Generator, cover: Float[np.ndarray, "240 240"]) -> Float[np.ndarray, "240 240"]:
    """A factor for the colours that gives covered pixels the grain of hair; it is 1 at the other pixels."""
    strands = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
    for shape in ((10, 40), (24, 200)):
        noise = rng.normal(0, 1, shape).astype(np.float32)
        strands += cv2.resize(noise, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_CUBIC)
    turn = cv2.getRotationMatrix2D((CROP_SIZE / 2, CROP_SIZE / 2), rng.uniform(-40, 40), 1.5)
    turned = cv2.warpAffine(strands, turn, (CROP_SIZE, CROP_SIZE), borderMode=cv2.BORDER_REFLECT)
    return np.clip(1 + np.float32(rng.uniform(0.1, 0.3)) * cover * turned, 0.2, 2)


def draw_locks(
    rng: np.random.Generator,
    wearer: Wearer,
    code: FaceCode,
    *,
    hair: Hair,
    shade: Float[np.ndarray, "3"],
    depth: Float[np.ndarray, "240 240"],
) -> Layer:
    """Locks of hair that hang over the forehead and the temples.

    Args:
      shade: the factor of the light on colours, RGB.
      depth: of the head at each pixel, mm; infinite beside it.
    """
    strands = _strands(rng, wearer)
    positions, pixels = (np.asarray(each) for each in _seen(strands.reshape(-1, 3).astype(np.float32), code))
    column, row = np.clip(np.rint(pixels), 0, CROP_SIZE - 1).astype(int).T
    hidden = (positions[:, 2] > depth[row, column] + 12).reshape(_STRANDS, _POINTS).mean(axis=1) > 0.3
    size = _FINER * CROP_SIZE
    colours, opacity = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.uint8)
    lines = np.rint(16 * (_FINER * pixels + (_FINER - 1) / 2)).astype(np.int32).reshape(_STRANDS, _POINTS, 2)
    base = hair.colour * shade
    for line in lines[~hidden]:
        colour = np.clip(255 * base * rng.lognormal(0, 0.3), 0, 255).tolist()
        cv2.polylines(colours, [line], False, colour, 3, cv2.LINE_8, shift=4)
        cv2.polylines(opacity, [line], False, 255, 1, cv2.LINE_AA, shift=4)
    shrunk = cv2.resize(opacity, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_AREA)
    smaller = cv2.resize(colours, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_AREA)
    return Layer(unit_range(smaller), np.clip(1.2 * unit_range(shrunk), 0, 1))


def _strands(rng, wearer: Wearer) -> Float[np.ndarray, "400 10 3"]:
    """Strands in clumps: from roots at the hairline down over the forehead, or from a temple down beside the cheek."""
    clumps = int(rng.integers(4, 16))
    side = rng.choice([-1.0, 1.0], clumps)
    temple = rng.random(clumps) < rng.choice([0.1, 0.5, 0.95])
    brows = wearer.landmarks[17:27, 1].mean()
    half_width = np.abs(wearer.landmarks[[0, 16], 0]).mean()
    top = brows + wearer.scale * rng.uniform(35, 60)
    root_x = half_width * np.where(temple, side * rng.uniform(0.7, 1.0, clumps), rng.uniform(-0.8, 0.8, clumps))
    length = np.where(temple, rng.uniform(60, 170), rng.uniform(20, 80)) * rng.uniform(0.7, 1.1, clumps)
    sweep = rng.normal(0, 0.35) + rng.normal(0, 0.12, clumps) - np.where(temple, 0.12 * side, 0)
    curl = rng.uniform(0, 5)
    of = rng.integers(0, clumps, _STRANDS)
    share = np.linspace(0, 1, _POINTS)[None, :]
    narrowing = 1 - rng.uniform(0.2, 0.9) * share
    offset = rng.normal(0, rng.uniform(3.0, 9.0), (_STRANDS, 1)) * narrowing
    phase = rng.uniform(0, 2 * np.pi, clumps)[of][:, None]
    along = share * (length[of] * rng.uniform(0.75, 1.05, _STRANDS))[:, None]
    x = root_x[of][:, None] + offset + sweep[of][:, None] * along + curl * share * np.sin(phase + along / 12)
    y = top + rng.normal(0, 3, (_STRANDS, 1)) - along
    z = wearer.front(x, y) + rng.uniform(1.5, 5, (_STRANDS, 1))
    z = smooth_along(z.T, 1.5).T
    return np.stack([x, y, z], axis=2)


@jax.jit
def _seen(points, code):
    positions = to_camera(points, code.rotation, code.translation)
    return positions, project(positions)
