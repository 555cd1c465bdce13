"""The full perspective camera of section 5: v̂ = R v + t and u = Π(v̂)."""

import jax.numpy as jnp
from jaxtyping import Float

from fml_jax.image_formation.rotation import rotation_matrix
from fml_jax.ops.arrays import Array, namespace
from fml_jax.ops.small_matrices import transform

CROP_SIZE = 240  # pixels, the paper's

# One fixed focal length for every crop, in crop widths. The paper does not give one; with 4.5 an
# average face is about 0.9 m from the camera.
FOCAL_IN_CROP_WIDTHS = 4.5

# Points nearer than this (mm) are projected as if they were at this depth; `in_front` excludes them.
NEAREST = 1.0


def to_camera(
    vertices: Float[Array, "N 3"], rotation: Float[Array, "3"], translation: Float[Array, "3"]
) -> Float[Array, "N 3"]:
    """Φ(v) = R v + t: model space (mm) to camera space (mm; x right, y down, z forward)."""
    return transform(vertices, rotation_matrix(rotation)) + translation


def project(positions: Float[Array, "N 3"], crop_size: int = CROP_SIZE) -> Float[Array, "N 2"]:
    """Π: camera space (mm) to pixels of the crop, (0, 0) being the centre of the top-left pixel.

    Points at or behind the camera are projected as if `NEAREST` mm in front of it, which keeps
    values and gradients finite; they are never visible (`in_front`).
    """
    depth = namespace(positions).maximum(positions[:, 2:], NEAREST)
    return FOCAL_IN_CROP_WIDTHS * crop_size * positions[:, :2] / depth + (crop_size - 1) / 2


def in_front(positions: Float[Array, "N 3"]) -> Array:
    """[N] bool: whether points are in front of the camera."""
    return positions[:, 2] > NEAREST


def view_rays(pixels: Float[Array, "K 2"], crop_size: int = CROP_SIZE) -> Float[Array, "K 3"]:
    """Unit directions from the camera's centre through pixels (the lines of eq. 10's sliding points)."""
    in_widths = (pixels - (crop_size - 1) / 2) / (FOCAL_IN_CROP_WIDTHS * crop_size)
    rays = jnp.concatenate([in_widths, jnp.ones_like(in_widths[:, :1])], axis=1)
    return rays / jnp.linalg.norm(rays, axis=1, keepdims=True)
