"""Clips of a rendered face that moves as is known."""

from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from scipy.spatial.transform import Rotation

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel, geometry, reflectance
from fml_jax.fitting.named_shapes import named_shapes
from fml_jax.image_formation.landmark_projection import project_landmarks
from fml_jax.ops.images import eight_bits
from fml_jax.synthetic.backgrounds import background
from fml_jax.synthetic.expressions import expression_units
from fml_jax.synthetic.hair import sample_hair
from fml_jax.synthetic.head_raster import head_raster
from fml_jax.synthetic.lit_head import plainly_lit_head
from fml_jax.synthetic.random_codes import RandomFace, sample_face

RATE = Fraction(25)
_NOISE = 0.015  # standard deviation of the pictures' noise, of [0, 1]
_FACES_CAMERA = np.diag([1.0, -1.0, -1.0])
_DECODED = jax.jit(
    lambda model, code: (geometry(model, code.identity, code.expression), reflectance(model, code.reflectance))
)
_LANDMARKS = jax.jit(project_landmarks)


class RenderedClip(NamedTuple):
    """T frames, and the face that they show."""

    frames: UInt8[np.ndarray, "T 240 240 3"]
    codes: FaceCode  # leading axes T
    landmarks68: np.ndarray  # [T, 68, 2] pixels


def render_clip(model: BaseModel, rng: np.random.Generator, frames: int) -> RenderedClip:
    """A person who turns, moves, speaks and blinks, RATE frames a second, before a background that stands still.

    Args:
      model: a model of a whole head.
      rng: source of all random numbers.
    """
    person = sample_face(model, expression_units(model), rng)
    codes = moving_codes(model, person.code, frames)
    hair, pictures, marks = sample_hair(model, rng, over_face=False), [], []
    behind = None
    for t in range(frames):
        code = jax.tree.map(lambda part, t=t: part[t], codes)
        vertices, skin = _DECODED(model, code)
        face = RandomFace(code, vertices, skin, person.light)
        marks.append(np.asarray(_LANDMARKS(model, code)))
        behind = background(rng, marks[0], hair, photos=None) if behind is None else behind
        head, picture = head_raster(model, face, hair), behind.copy()
        picture[head.shown] = plainly_lit_head(head, code).T
        pictures.append(eight_bits(picture + _NOISE * rng.standard_normal(picture.shape)))
    return RenderedClip(np.stack(pictures), codes, np.stack(marks))


def moving_codes(model: BaseModel, code: FaceCode, frames: int) -> FaceCode:
    """Codes of T frames: the head turns and moves to and fro, the mouth opens and closes, the eyes blink."""
    shapes, seconds = named_shapes(model), np.arange(frames) / float(RATE)
    assert shapes is not None, "moving faces need named shapes"
    of_name = dict(zip(shapes.names, shapes.codes, strict=True))
    jaw = 0.25 * (1 - np.cos(2 * np.pi * 1.5 * seconds))
    blink = np.exp(-(((seconds % 1.6) - 0.8) ** 2) / (2 * 0.06**2))  # about five frames wide
    smile = 0.3 * (1 + np.sin(2 * np.pi * 0.4 * seconds))
    expression = jaw[:, None] * of_name["jawOpen"]
    for weights, names in ((blink, ("eyeBlinkLeft", "eyeBlinkRight")), (smile, ("mouthSmileLeft", "mouthSmileRight"))):
        expression = expression + weights[:, None] * sum(of_name[name] for name in names)
    yaw, pitch = 18 * np.sin(2 * np.pi * 0.35 * seconds), 6 * np.sin(2 * np.pi * 0.5 * seconds + 1)
    turns = Rotation.from_euler("YX", np.stack([-yaw, -pitch], axis=1), degrees=True).as_matrix() @ _FACES_CAMERA
    path = np.stack(
        [8 * np.sin(2 * np.pi * 0.3 * seconds), 4 * np.sin(2 * np.pi * 0.45 * seconds), 0 * seconds], axis=1
    )
    moved = {
        "expression": expression,
        "rotation": Rotation.from_matrix(turns).as_rotvec(),
        "translation": np.array([0.0, 0.0, 1.0]) * np.asarray(code.translation) + path,
    }
    still = jax.tree.map(lambda part: jnp.broadcast_to(part, (frames, *np.shape(part))), code)
    return still.replace(**{name: jnp.asarray(rows, jnp.float32) for name, rows in moved.items()})
