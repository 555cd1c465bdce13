"""Random faces as codes: people, expressions, poses and light, framed as in the crops of photos."""

from typing import NamedTuple

import jax
import numpy as np
from scipy.spatial.transform import Rotation

from fml_jax.codes import NEUTRAL_DEPTH, FaceCode
from fml_jax.corpus.camera_augmentation import near_frontal
from fml_jax.face_model.base import BaseModel, geometry, reflectance
from fml_jax.image_formation.camera import CROP_SIZE, FOCAL_IN_CROP_WIDTHS, project
from fml_jax.image_formation.landmark_projection import camera_landmarks
from fml_jax.photos.crops import HAAR_SCALE_STD, HAAR_SHIFT_STD, SIDE_FACTOR
from fml_jax.synthetic.adults import IdentityDistribution
from fml_jax.synthetic.expressions import ExpressionUnits
from fml_jax.synthetic.light import Light, sample_light

_FACES_CAMERA = np.diag([1.0, -1.0, -1.0])
_CAMERA_LANDMARKS = jax.jit(camera_landmarks)
_GEOMETRY, _REFLECTANCE = jax.jit(geometry), jax.jit(reflectance)


class RandomFace(NamedTuple):
    """A random face: its code, and what the code's modes sum up to, which takes long to compute twice."""

    code: FaceCode
    vertices: jax.Array  # [N, 3] model space, mm
    reflectance: jax.Array  # [N, 3]
    light: Light


def sample_code(model: BaseModel, units: ExpressionUnits, rng: np.random.Generator, *, spread: float = 1.0) -> FaceCode:
    """The code of a random face; see `sample_face`."""
    return sample_face(model, units, rng, spread=spread).code


def sample_face(
    model: BaseModel,
    units: ExpressionUnits,
    rng: np.random.Generator,
    *,
    spread: float = 1.0,
    identities: IdentityDistribution | None = None,
    like: FaceCode | None = None,
) -> RandomFace:
    """A random face with plausible illumination, framed like the crops of photos.

    Args:
      spread: factor on the standard deviations of identity and expression.
      identities: their distribution; None is the model's, with mean 0 and unit variance. `spread` scales it, too.
      like: the face has the identity and the reflectance of this code.
    """
    sizes = model.code_sizes
    drawn = rng.normal(size=sizes.reflectance) if like is None else np.asarray(like.reflectance)
    beta, skin, brightness = _valid_reflectance(model, drawn)
    identity = _identity(rng, sizes.identity, spread, identities) if like is None else np.asarray(like.identity)
    expression = units.sample(rng) * spread
    rotation = sample_rotation(rng)
    light = sample_light(rng, float(brightness))
    code = FaceCode(
        identity=_float32(identity),
        expression=_float32(expression),
        reflectance=beta,
        rotation=_float32(rotation),
        translation=_float32(np.zeros(3)),
        illumination=_float32(light.gamma),
    )
    vertices = _GEOMETRY(model, code.identity, code.expression)
    # Before the translation is known, the landmarks in camera space are only rotated.
    turned = np.asarray(_CAMERA_LANDMARKS(model, code, vertices))
    code = code.replace(translation=_float32(_framing_translation(turned, rng)))
    return RandomFace(code, vertices, skin, light)


def _identity(rng, count, spread, distribution):
    drawn = rng.normal(size=count) * spread
    return drawn if distribution is None else distribution.mean + distribution.spread * drawn


def sample_rotation(rng: np.random.Generator) -> np.ndarray:
    """The axis-angle vector [3] (radians) of a head that mostly faces the camera."""
    yaw_spread = rng.choice([10.0, 25.0, 40.0], p=[0.4, 0.4, 0.2])
    yaw = np.clip(rng.normal(0, yaw_spread), -60, 60)
    pitch, roll = np.clip(rng.normal(0, [9, 8]), -20, 20)
    turn = Rotation.from_euler("YXZ", [-yaw, -pitch, roll], degrees=True).as_matrix()
    return near_frontal(Rotation.from_matrix(turn @ _FACES_CAMERA).as_rotvec())


def _valid_reflectance(model, beta):
    """A β, scaled down until the skin's colours are valid; its reflectance; the mean brightness of the skin."""
    skin = np.flatnonzero(model.regions["skin"])
    while True:
        everywhere = _REFLECTANCE(model, _float32(beta))
        colours = np.asarray(everywhere)[skin]
        darkest, lightest = np.quantile(colours, [0.05, 0.95])
        if darkest > 0.03 and lightest < 0.97:
            return _float32(beta), everywhere, colours.mean()
        beta = 0.85 * beta


def _framing_translation(turned, rng):
    """The translation of a rotated head for which its landmarks lie in the crop as in `crop_from_landmarks`.

    The frame scatters as that of a detector's crops does. A few fixed-point steps suffice, because the size in the
    picture is nearly proportional to 1 / depth.
    """
    centre = (CROP_SIZE - 1) / 2 + CROP_SIZE * rng.normal(0, HAAR_SHIFT_STD)
    side = CROP_SIZE / SIDE_FACTOR * np.exp(rng.normal(0, HAAR_SCALE_STD))
    translation = np.array([0.0, 0.0, NEUTRAL_DEPTH])
    for _ in range(6):
        pixels = project(_float32(turned + translation))
        low, high = pixels.min(0), pixels.max(0)
        translation[2] *= np.sqrt(np.prod(high - low)) / side
        translation[:2] += (centre - (low + high) / 2) * translation[2] / (FOCAL_IN_CROP_WIDTHS * CROP_SIZE)
    return translation


def _float32(array):
    return np.asarray(array, np.float32)
