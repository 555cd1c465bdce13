"""Landmarks on the mesh: MediaPipe's 478, iBUG's 68 (the paper's 66), fixed and sliding."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from fml_jax.ops.arrays import Array

CONTOUR = 17  # iBUG's points 0–16, the sliding ones; the others are fixed

# The paper's 66 landmarks are iBUG's 68 without the inner mouth corners.
INNER_MOUTH_CORNERS = (60, 64)


class Landmarks(NamedTuple):
    """Where landmarks rest on the mesh: each on a triangle's three vertices, with weights that sum to 1."""

    fixed_vertices: jax.Array  # [478, 3] int32, MediaPipe's order
    fixed_weights: jax.Array  # [478, 3]
    ibug_from_mediapipe: jax.Array  # [68] int32
    contour_yaws: jax.Array  # [Y] degrees, ascending; positive when the subject turns to their left
    contour_vertices: jax.Array  # [Y, 17, 3] int32, the contour as seen at each of these yaws
    contour_weights: jax.Array  # [Y, 17, 3]
    candidates: jax.Array  # [K] int32, vertices that any pose's contour may run along (eq. 10)

    def used_vertices(self) -> np.ndarray:
        """All vertices that some landmark rests on, sorted."""
        parts = (self.fixed_vertices, self.contour_vertices, self.candidates)
        return np.flatnonzero(np.bincount(np.concatenate([np.asarray(part).ravel() for part in parts])))

    def renumbered(self, new_of_old: np.ndarray) -> "Landmarks":
        """The same landmarks after a renumbering of the vertices."""
        return self._replace(
            fixed_vertices=jnp.asarray(new_of_old[np.asarray(self.fixed_vertices)]),
            contour_vertices=jnp.asarray(new_of_old[np.asarray(self.contour_vertices)]),
            candidates=jnp.asarray(new_of_old[np.asarray(self.candidates)]),
        )


def landmarks478(landmarks: Landmarks, vertices: Float[Array, "N 3"]) -> Float[Array, "478 3"]:
    """MediaPipe's face mesh points (irises last) on a face."""
    return _on_mesh(vertices, landmarks.fixed_vertices, landmarks.fixed_weights)


def landmarks68(
    landmarks: Landmarks, vertices: Float[Array, "N 3"], rotation: Float[Array, "3 3"]
) -> Float[Array, "68 3"]:
    """iBUG's points on a face; the contour (0–16) slides with the pose alone.

    Args:
      vertices: in model space or in camera space; the result is in the same.
      rotation: R; its yaw selects the contour.
    """
    inner = landmarks.ibug_from_mediapipe[CONTOUR:]
    fixed = _on_mesh(vertices, landmarks.fixed_vertices[inner], landmarks.fixed_weights[inner])
    return jnp.concatenate([contour_by_pose(landmarks, vertices, rotation), fixed])


def contour_by_pose(
    landmarks: Landmarks, vertices: Float[Array, "N 3"], rotation: Float[Array, "3 3"]
) -> Float[Array, "17 3"]:
    """The contour points for a pose, blended between the two nearest stored yaws.

    No gradient flows through the choice: the fit should move the face onto its contour, not turn it
    until another contour fits.
    """
    left, right, blend = contour_blend(landmarks.contour_yaws, rotation)
    left_points, right_points = (
        _on_mesh(vertices, landmarks.contour_vertices[k], landmarks.contour_weights[k]) for k in (left, right)
    )
    return (1 - blend) * left_points + blend * right_points


def contour_blend(yaws: Float[Array, "Y"], rotation: Float[Array, "3 3"]) -> tuple[Array, Array, Array]:
    """The two stored yaws nearest to a rotation's, by number, and the share of the second; without gradients.

    Args:
      yaws: degrees, ascending.
    """
    yaw = jnp.clip(jax.lax.stop_gradient(_yaw(rotation)), yaws[0], yaws[-1])
    right = jnp.clip(jnp.searchsorted(yaws, yaw), 1, len(yaws) - 1)
    return right - 1, right, (yaw - yaws[right - 1]) / (yaws[right] - yaws[right - 1])


def contour_by_rays(
    landmarks: Landmarks, positions: Float[Array, "N 3"], rays: Float[Array, "17 3"]
) -> Float[Array, "17 3"]:
    """The sliding points of eq. 10: for each line from the camera's centre, the nearest candidate vertex.

    Args:
      positions: camera space, mm.
      rays: unit directions through the detected contour points.
    """
    points = positions[landmarks.candidates]
    frozen = jax.lax.stop_gradient(points)
    along = frozen @ rays.T
    squared_distances = jnp.sum(frozen**2, axis=1)[:, None] - along**2
    return points[jnp.argmin(squared_distances, axis=0)]


def _yaw(rotation):
    """Degrees by which the head is turned to the subject's left, whatever its roll.

    Computed from the direction to the camera in model space, R's negated third row, which does not
    depend on the roll.
    """
    return jnp.degrees(jnp.arctan2(rotation[2, 0], -rotation[2, 2]))


def _on_mesh(vertices, triplets, weights):
    return jnp.einsum("lkc,lk->lc", vertices[triplets], weights)
