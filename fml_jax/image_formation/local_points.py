"""The points at which local stages look at a crop: their places on a face, and how a code moves them.

They are iBUG's 68 landmarks, points of the eyelids and the irises' centres: what photos have labels of. Points on the
forehead and the cheeks, learned from renders alone, were found wrongly on photos and moved the face over the hair.
Each is an affine function of identity and expression (eq. 3), once the sliding contour has been chosen.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Float, Int

from fml_jax.codes import POSE_AND_LIGHT, CodeSizes, FaceCode
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.landmarks import CONTOUR, contour_blend
from fml_jax.image_formation.camera import project
from fml_jax.image_formation.rotation import rotation_matrix
from fml_jax.ops.arrays import Array, namespace
from fml_jax.ops.small_matrices import transform
from fml_jax.photos.landmarks import EYE_POINTS

POINTS = 68 + len(EYE_POINTS)

# Points that meet where eyes and mouth are closed: upper and lower lids, right and left, then the lips' inner edges.
UPPER = np.array([37, 38, 68, 69, 70, 43, 44, 74, 75, 76, 61, 62, 63])
LOWER = np.array([41, 40, 71, 72, 73, 47, 46, 77, 78, 79, 67, 66, 65])


class PointBasis(struct.PyTreeNode):
    """The points' places in model space as affine functions of (α_s, α_e); row 0 is the mean face, mm."""

    contour_yaws: jax.Array  # [Y] degrees, ascending
    contour: jax.Array  # [Y, 1 + M, 17, 3], M = m_s + m_e
    fixed: jax.Array  # [1 + M, P - 17, 3]
    tone_mean: jax.Array  # [3], the skin's mean reflectance of the mean face
    tone_modes: jax.Array  # [m_r, 3], its changes with β
    # Of the face's vertices, a mean for each channel: products of the modes with the mean, and of the modes.
    mode_means: jax.Array  # [3, m_r]
    mode_products: jax.Array  # [3, m_r, m_r]
    sizes: CodeSizes = struct.field(pytree_node=False)

    @classmethod
    def of(cls, model: BaseModel) -> "PointBasis":
        """The basis of a face model, traced or not."""
        if isinstance(model.mean, jax.core.Tracer):
            return _basis(model)
        return jax.device_put(_basis(jax.device_get(model)))  # in NumPy, as a compilation would take longer

    def tone(self, reflectance: Float[Array, "*batch K"]) -> Float[Array, "*batch 3"]:
        """The mean reflectance of the skin, RGB, of the parameters β."""
        return self.tone_mean + reflectance @ self.tone_modes

    def rows(self, rotation: Float[Array, "3 3"]) -> Float[Array, "modes P 3"]:
        """The basis with the contour of a pose, [1 + M, P, 3]. No gradient flows through the choice of the contour."""
        left, right, blend = contour_blend(self.contour_yaws, rotation)
        contour = (1 - blend) * self.contour[left] + blend * self.contour[right]
        return jnp.concatenate([contour, self.fixed], axis=1)


def _basis(model: BaseModel) -> PointBasis:
    marks, xp = model.landmarks, namespace(model.mean)
    chosen = xp.concatenate([marks.ibug_from_mediapipe[CONTOUR:], np.asarray(EYE_POINTS)])
    rows = xp.concatenate([model.mean[None], model.identity, model.expression])

    def on_mesh(vertices, weights):
        return xp.einsum("m...kc,...k->m...c", rows[:, vertices], weights)

    contour = on_mesh(marks.contour_vertices, marks.contour_weights)
    fixed = on_mesh(marks.fixed_vertices[chosen], marks.fixed_weights[chosen])
    skin = xp.asarray(model.regions["skin"], model.mean.dtype)
    share = skin / xp.maximum(skin.sum(), 1)
    colours = xp.concatenate([model.reflectance_mean[None], model.reflectance])
    tones = xp.einsum("n,mnc->mc", share, colours)
    face = xp.asarray(model.regions["face"], model.mean.dtype)
    by_channel = xp.moveaxis(colours * xp.sqrt(face / xp.maximum(face.sum(), 1))[:, None], 2, 0)
    products = by_channel[:, 1:] @ xp.swapaxes(by_channel, 1, 2)  # [3, m_r, 1 + m_r]
    return PointBasis(
        contour_yaws=marks.contour_yaws,
        contour=xp.moveaxis(contour, 1, 0),
        fixed=fixed,
        tone_mean=tones[0],
        tone_modes=tones[1:],
        mode_means=products[:, :, 0],
        mode_products=products[:, :, 1:],
        sizes=model.code_sizes,
    )


def free_parameters(sizes: CodeSizes) -> Int[np.ndarray, "M"]:
    """The places in a flat code of the parameters that move points: identity, expression, rotation, translation."""
    pose = sizes.total - POSE_AND_LIGHT + np.arange(6)
    return np.concatenate([np.arange(sizes.identity + sizes.expression), pose])


class PointsOfCode(NamedTuple):
    """Projected points, and their derivatives with respect to shape and pose."""

    pixels: jax.Array  # [P, 2] crop pixels
    jacobian: jax.Array  # [P, 2, M + 6]: α_s, α_e, rotation, translation


@jax.jit  # traced once for all stages and losses
def project_points(basis: PointBasis, code: FaceCode) -> PointsOfCode:
    """The points of a code's face in its crop."""
    turn, turned = jax.linearize(rotation_matrix, code.rotation)  # [3, 3], and its change with a rotation's
    by_turn = jax.vmap(turned, out_axes=-1)(jnp.eye(3))  # [3, 3, 3]
    rows = basis.rows(turn)
    shape = jnp.concatenate([jnp.ones(1), code.identity, code.expression])
    places = jnp.einsum("m,mpc->pc", shape, rows)
    camera = transform(places, turn) + code.translation
    by_camera = jax.vmap(jax.jacfwd(lambda point: project(point[None])[0]))(camera)  # [P, 2, 3]
    by_shape = jnp.einsum("pxc,mpc->pxm", by_camera @ turn, rows[1:])
    by_rotation = jnp.einsum("pxc,cdr,pd->pxr", by_camera, by_turn, places)
    return PointsOfCode(project(camera), jnp.concatenate([by_shape, by_rotation, by_camera], axis=-1))
