"""`FaceCode` and `FinalCode`, the parameters that networks predict of a face: named parts and flat vectors."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Float

from fml_jax.ops.arrays import Array

LIGHT_SHAPE = (9, 3)  # of γ: nine harmonics for each of three colour channels
LIGHT = math.prod(LIGHT_SHAPE)
POSE_AND_LIGHT = 3 + 3 + LIGHT  # numbers of a code that no face model decides: rotation, translation, γ

# Depth, in mm, at which an average face fills its crop as in training. At this distance the crop is
# about 205 mm wide under the fixed focal length (camera.FOCAL_IN_CROP_WIDTHS).
NEUTRAL_DEPTH = 920.0


class CodeSizes(NamedTuple):
    """How many parameters of each kind a face model has; the paper's has 80, 64 and 80."""

    identity: int  # m_s
    expression: int  # m_e
    reflectance: int  # m_r

    @property
    def total(self) -> int:
        """Length of the flat code, pose and light included; 257 for the paper's sizes."""
        return self.identity + self.expression + self.reflectance + POSE_AND_LIGHT


class FaceCode(struct.PyTreeNode):
    """The base level's parameters of one face, x = (α, β, R, t, γ).

    Every array may carry leading batch axes; the shapes below are of one face.
    """

    identity: jax.Array  # α_s, [m_s], standard deviations
    expression: jax.Array  # α_e, [m_e], standard deviations
    reflectance: jax.Array  # β, [m_r], standard deviations
    rotation: jax.Array  # axis-angle of R, [3], radians; (π, 0, 0) faces the camera
    translation: jax.Array  # t, [3], mm, camera axes (x right, y down, z forward)
    illumination: jax.Array  # γ, [9, 3], SH coefficients per colour channel

    @property
    def sizes(self) -> CodeSizes:
        """The sizes of the face model that the code belongs to."""
        return CodeSizes(*(part.shape[-1] for part in (self.identity, self.expression, self.reflectance)))


class FinalCode(struct.PyTreeNode):
    """Both levels' parameters of one face; leading batch axes as in `FaceCode`.

    The levels share the pose and the base level's parameters; the final level has its own light.
    """

    base: FaceCode
    geometry: jax.Array  # δ_g, [C_g]
    reflectance: jax.Array  # δ_r, [C_r]
    illumination: jax.Array  # γ of the final level, [9, 3]

    @property
    def lit(self) -> FaceCode:
        """The base level's code under the final level's light."""
        return self.base.replace(illumination=self.illumination)


# One unit of the network's raw output in units of each part: about the part's spread over ordinary
# crops, so that all outputs of the last layer have the same scale.
_SCALES: dict[str, float | tuple[float, float, float]] = {
    "identity": 1.0,
    "expression": 1.0,
    "reflectance": 1.0,
    "rotation": 0.5,
    "translation": (20.0, 20.0, 120.0),
    "illumination": 0.3,
}


def raw_scales(sizes: CodeSizes) -> Float[Array, "code"]:
    """How much a flat code changes with each number of the network's raw output (`code_from_network`)."""
    ones = unflatten_code(jnp.ones(sizes.total), sizes)
    return flatten_code(FaceCode(**{name: jnp.asarray(scale) * getattr(ones, name) for name, scale in _SCALES.items()}))


def neutral_code(sizes: CodeSizes) -> FaceCode:
    """The mean face, centred, facing the camera, under uniform white light (shading 1)."""
    return FaceCode(
        identity=jnp.zeros(sizes.identity),
        expression=jnp.zeros(sizes.expression),
        reflectance=jnp.zeros(sizes.reflectance),
        rotation=jnp.array([math.pi, 0.0, 0.0]),
        translation=jnp.array([0.0, 0.0, NEUTRAL_DEPTH]),
        illumination=jnp.zeros(LIGHT_SHAPE).at[0].set(1.0),
    )


def flatten_code(code: FaceCode) -> Float[Array, "*batch code"]:
    """The parts in the order of the fields, illumination row by row: [..., `code.sizes.total`]."""
    gamma = code.illumination.reshape(*code.illumination.shape[:-2], LIGHT)
    parts = [code.identity, code.expression, code.reflectance, code.rotation, code.translation, gamma]
    # Files of a face are written without JAX, which would compile a program for the shapes.
    join = np.concatenate if all(isinstance(part, np.ndarray) for part in parts) else jnp.concatenate
    return join(parts, axis=-1)


def unflatten_code(vector: Float[Array, "*batch code"], sizes: CodeSizes) -> FaceCode:
    """Inverse of `flatten_code`.

    Raises:
      ValueError: the vector's length is not `sizes.total`.
    """
    vector = jnp.asarray(vector)
    lengths = [*sizes, 3, 3, LIGHT]
    if vector.shape[-1] != sizes.total:
        raise ValueError(f"a code of {lengths} numbers has {sizes.total}, this one {vector.shape[-1]}")
    identity, expression, reflectance, rotation, translation, gamma = jnp.split(vector, _ends(lengths), axis=-1)
    illumination = gamma.reshape(*gamma.shape[:-1], *LIGHT_SHAPE)
    return FaceCode(identity, expression, reflectance, rotation, translation, illumination)


def leading_reflectance(vector: Float[Array, "*batch code"], sizes: CodeSizes) -> FaceCode:
    """`unflatten_code` of a vector that may have more reflectance parameters than `sizes`; these are dropped.

    Raises:
      ValueError: the vector is shorter than `sizes.total`.
    """
    further = max(vector.shape[-1] - sizes.total, 0)
    code = unflatten_code(vector, sizes._replace(reflectance=sizes.reflectance + further))
    return code.replace(reflectance=code.reflectance[..., : sizes.reflectance])


def code_from_network(raw: Float[Array, "*batch code"], sizes: CodeSizes) -> FaceCode:
    """The network's raw output (each number of order 1) as a code: neutral + scale · raw.

    Raises:
      ValueError: the output's length is not `sizes.total`.
    """
    offset, neutral = unflatten_code(raw, sizes), neutral_code(sizes)
    return FaceCode(
        **{name: getattr(neutral, name) + jnp.asarray(scale) * getattr(offset, name) for name, scale in _SCALES.items()}
    )


def network_from_code(code: FaceCode) -> Float[Array, "*batch code"]:
    """Inverse of `code_from_network`."""
    neutral = neutral_code(code.sizes)
    raw = {name: (getattr(code, name) - getattr(neutral, name)) / jnp.asarray(_SCALES[name]) for name in _SCALES}
    return flatten_code(FaceCode(**raw))


def final_code_from_network(
    base: FaceCode, raw: Float[Array, "*batch outputs"], correctives: tuple[int, int]
) -> FinalCode:
    """The network's raw output of the final level, δ_g, δ_r and the final γ's offset, as a final code.

    δ are taken unscaled. The network predicts the final γ as a difference from the base level's, on
    the same scale, so that zeros mean the base level.

    Args:
      base: the base level's code.
      correctives: (C_g, C_r), which may be zero.

    Raises:
      ValueError: the output's length is not C_g + C_r + 27.
    """
    raw = jnp.asarray(raw)
    lengths = [*correctives, LIGHT]
    if raw.shape[-1] != sum(lengths):
        raise ValueError(f"a final level of {lengths} numbers has {sum(lengths)}, this one {raw.shape[-1]}")
    geometry, reflectance, gamma = jnp.split(raw, _ends(lengths), axis=-1)
    offset = jnp.asarray(_SCALES["illumination"]) * gamma.reshape(*gamma.shape[:-1], *LIGHT_SHAPE)
    return FinalCode(base, geometry, reflectance, base.illumination + offset)


def _ends(lengths):
    """Where each part but the last ends in the concatenation of parts with these lengths."""
    return [sum(lengths[: k + 1]) for k in range(len(lengths) - 1)]
