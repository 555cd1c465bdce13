"""FaceCode and FinalCode: what the encoder says of a face, as named parts and as one flat vector."""

import math

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Float

from fml_jax.ops.arrays import Array

IDENTITY = 80  # m_s of the paper
EXPRESSION = 64  # m_e
REFLECTANCE = 80  # m_r
CODE_SIZE = IDENTITY + EXPRESSION + REFLECTANCE + 3 + 3 + 27  # 257

# Depth at which an average face fills its crop as training crops do, in mm: the crop shows about
# 205 mm at this distance under the fixed focal length (camera.FOCAL_IN_CROP_WIDTHS).
NEUTRAL_DEPTH = 920.0


@struct.dataclass
class FaceCode:
    """All that the base level says of one face, x = (α, β, R, t, γ) without the correctives.

    Every array may carry leading batch axes; shapes are of one face.
    """

    identity: jax.Array  # α_s, [80], standard deviations
    expression: jax.Array  # α_e, [64], standard deviations
    reflectance: jax.Array  # β, [80], standard deviations
    rotation: jax.Array  # axis-angle of R, [3], radians; (π, 0, 0) faces the camera
    translation: jax.Array  # t, [3], mm, camera axes (x right, y down, z forward)
    illumination: jax.Array  # γ, [9, 3], SH coefficients per colour channel


@struct.dataclass
class FinalCode:
    """All that both levels say of one face; leading batch axes as in `FaceCode`.

    Pose and the base level's parameters are shared; the final level has a light of its own.
    """

    base: FaceCode
    geometry: jax.Array  # δ_g, [C_g]
    reflectance: jax.Array  # δ_r, [C_r]
    illumination: jax.Array  # γ of the final level, [9, 3]

    @property
    def lit(self) -> FaceCode:
        """The base level's code under the final level's light."""
        return self.base.replace(illumination=self.illumination)


# What one unit of the network's raw output means: the spread of each part over ordinary crops,
# so that all of the last layer works at the same scale.
CODE_SCALE = FaceCode(
    identity=1.0, expression=1.0, reflectance=1.0, rotation=0.5, translation=(20.0, 20.0, 120.0), illumination=0.3
)


def neutral_code(identity: int = IDENTITY, expression: int = EXPRESSION, reflectance: int = REFLECTANCE) -> FaceCode:
    """The mean face, centred, facing the camera, under white light from everywhere (shading 1)."""
    return FaceCode(
        identity=jnp.zeros(identity),
        expression=jnp.zeros(expression),
        reflectance=jnp.zeros(reflectance),
        rotation=jnp.array([math.pi, 0.0, 0.0]),
        translation=jnp.array([0.0, 0.0, NEUTRAL_DEPTH]),
        illumination=jnp.zeros((9, 3)).at[0].set(1.0),
    )


def flatten_code(code: FaceCode) -> Float[Array, "*batch code"]:
    """Parts in the order of the fields, illumination row by row; [..., 257] for the paper's sizes."""
    illumination = jnp.asarray(code.illumination)
    gamma = illumination.reshape(*illumination.shape[:-2], 27)
    parts = [code.identity, code.expression, code.reflectance, code.rotation, code.translation, gamma]
    return jnp.concatenate([jnp.asarray(part) for part in parts], axis=-1)


def unflatten_code(
    vector: Float[Array, "*batch code"],
    identity: int = IDENTITY,
    expression: int = EXPRESSION,
    reflectance: int = REFLECTANCE,
) -> FaceCode:
    """Inverse of `flatten_code`.

    Raises:
      ValueError: the vector's length is not identity + expression + reflectance + 33.
    """
    vector = jnp.asarray(vector)
    sizes = [identity, expression, reflectance, 3, 3, 27]
    if vector.shape[-1] != sum(sizes):
        raise ValueError(f"a code of {sizes} numbers has {sum(sizes)}, this one {vector.shape[-1]}")
    ends = [sum(sizes[: k + 1]) for k in range(len(sizes) - 1)]
    *parts, gamma = jnp.split(vector, ends, axis=-1)
    return FaceCode(*parts, illumination=gamma.reshape(*gamma.shape[:-1], 9, 3))


def leading_reflectance(
    vector: Float[Array, "*batch code"], identity: int, expression: int, reflectance: int
) -> FaceCode:
    """`unflatten_code` of a code that may have further reflectance modes, which are left out."""
    further = max(vector.shape[-1] - (identity + expression + reflectance + 33), 0)
    code = unflatten_code(vector, identity, expression, reflectance + further)
    return code.replace(reflectance=code.reflectance[..., :reflectance])


def code_from_network(
    raw: Float[Array, "*batch code"],
    identity: int = IDENTITY,
    expression: int = EXPRESSION,
    reflectance: int = REFLECTANCE,
) -> FaceCode:
    """The network's raw output (each number of order 1) as a code: neutral + scale · raw."""
    offset = unflatten_code(raw, identity, expression, reflectance)
    neutral = neutral_code(identity, expression, reflectance)
    return jax.tree.map(lambda mean, scale, part: mean + jnp.asarray(scale) * part, neutral, _scales(), offset)


def network_from_code(code: FaceCode) -> Float[Array, "*batch code"]:
    """Inverse of `code_from_network`."""
    sizes = [part.shape[-1] for part in (code.identity, code.expression, code.reflectance)]
    neutral = neutral_code(*sizes)
    raw = jax.tree.map(lambda mean, scale, part: (part - mean) / jnp.asarray(scale), neutral, _scales(), code)
    return flatten_code(raw)


def final_code_from_network(
    raw: Float[Array, "*batch code"],
    correctives: tuple[int, int],
    base_sizes: tuple[int, int, int] = (IDENTITY, EXPRESSION, REFLECTANCE),
) -> FinalCode:
    """The network's raw output as a final code; δ are taken as they come.

    The base level is `code_from_network` of the first numbers. The final γ is said as a difference
    from the base level's, on its scale: zeros behind the base level's numbers mean the base level.

    Args:
      correctives: (C_g, C_r), which may be zero.
      base_sizes: (m_s, m_e, m_r), as `BaseModel.code_sizes` has them.

    Raises:
      ValueError: the length is not what the sizes add up to.
    """
    first, geometry, reflectance, gamma = _split_final(raw, correctives, base_sizes)
    base = code_from_network(first, *base_sizes)
    return FinalCode(base, geometry, reflectance, base.illumination + CODE_SCALE.illumination * gamma)


def _split_final(vector, correctives, base_sizes):
    vector = jnp.asarray(vector)
    sizes = [sum(base_sizes) + 33, *correctives, 27]
    if vector.shape[-1] != sum(sizes):
        raise ValueError(f"a final code of {sizes} numbers has {sum(sizes)}, this one {vector.shape[-1]}")
    *parts, gamma = jnp.split(vector, [sum(sizes[: k + 1]) for k in range(3)], axis=-1)
    return *parts, gamma.reshape(*gamma.shape[:-1], 9, 3)


def _scales() -> FaceCode:
    return FaceCode(**{name: jnp.asarray(value) for name, value in vars(CODE_SCALE).items()})
