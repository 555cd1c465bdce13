"""A loss by which a face keeps its shape when its picture is mirrored or blurred (not in the paper).

Photos of one person teach a network what of an identity is pose, light and expression (`losses.identity`). They do not
teach it what is the picture's sharpness, or which side is which: photos differ in too much else. E_sta (eq. 15), in
contrast, keeps the final level's corrections small.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.mirror import Mirror
from fml_jax.ops.arrays import Array

_THINNING = 2  # every so many vertices count


class ShapeDifferences(NamedTuple):
    """Quadratic forms of (α₁, α₂, 1): the mean squared distance of two shapes' vertices, mm².

    α holds identity and expression, M = m_s + m_e coefficients. The face's vertices count, without the eyes.
    """

    plain: jax.Array  # [2 M + 1, 2 M + 1]
    mirrored: jax.Array  # the same, of the first shape and the second one's mirror image

    @classmethod
    def of(cls, model: BaseModel) -> "ShapeDifferences":
        """The forms of a model that is not traced, and whose mean face is nearly symmetric."""
        mirror, mean = Mirror(model), np.asarray(model.mean, np.float64)
        members = np.flatnonzero(np.asarray(model.regions["face"]) & ~np.asarray(model.regions["eyes"]))[::_THINNING]
        modes = np.concatenate([np.asarray(model.identity), np.asarray(model.expression)]).astype(np.float64)
        seen = np.stack([mirror(mode) for mode in modes])

        def form(second, constant):
            rows = np.concatenate([modes, -second, constant[None]])[:, members].reshape(2 * len(modes) + 1, -1)
            return jnp.asarray(rows @ rows.T / len(members), jnp.float32)

        return cls(form(modes, np.zeros_like(mean)), form(seen, mean - mirror(mean)))


def invariance_energy(
    differences: ShapeDifferences, first: FaceCode, second: FaceCode, *, mirrored: Bool[Array, ""]
) -> Float[Array, ""]:
    """How far a face's shape moves, mm²: the mean of the whole shape's squared distance and of the neutral one's.

    Args:
      first: of a picture.
      second: of the changed picture.
      mirrored: whether the change mirrors it.
    """
    form = jnp.where(mirrored, differences.mirrored, differences.plain)

    def distance(expression):
        shapes = (jnp.concatenate([code.identity, expression * code.expression]) for code in (first, second))
        row = jnp.concatenate([*shapes, jnp.ones(1)])
        return jnp.maximum(row @ form @ row, 0)

    return (distance(1.0) + distance(0.0)) / 2
