"""Where the open model's surface lies on another model's mean face: found without landmarks or hand work.

The open model's mean is moved and scaled onto the other mean, then bent by its own modes, then freely. Each step only
needs a start that is about right, since layouts state units and axes.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Bool, Float

from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.surfaces import Mesh, at, closest_on_surface, procrustes, vertex_normals
from fml_jax.fitting.surface_fit import Pass, Pose, fit_to_surface
from fml_jax.importers import registration

_RIGID = (Pass(80.0, 1.0, 12, 0), Pass(30.0, 1.0, 12, 0), Pass(12.0, 1.0, 8, 0))
_BY_MODES = (Pass(25.0, 20.0, 5, 10), Pass(15.0, 100.0, 6, 40), Pass(8.0, 400.0, 8, 100))
_EXPRESSIONS = 20  # of the open model's expression modes that may bend it
_FREELY = (registration.Pass(60.0, 12.0), registration.Pass(15.0, 8.0), registration.Pass(5.0, 5.0))
_ROUNDS = 2
_LANDMARKED = 7  # known landmarks that give a start
SIZES = (0.5, 2.0)  # of a head, in heads of the open model
NEAR = 12.0  # mm: vertices farther from the bent open model have none of its masks


STEPS = ("moving", "fitting", "bending", "carrying")


def silent(word: str) -> None:
    """Takes note of nothing."""


class Correspondence(NamedTuple):
    """The open model's surface on another mesh of N vertices."""

    bent: np.ndarray  # [O, 3] mm, the open model's vertices on the other mean face
    pose: Pose  # of the open model on it, before it is bent
    carry: sparse.csr_matrix  # [N, O]: values on the open model's vertices, at the other's
    near: np.ndarray  # [N] bool: where the surfaces meet

    def carried(self, modes: Float[np.ndarray, "*K O C"]) -> Float[np.ndarray, "*K N C"]:
        """Values on the open model's vertices, carried to the other's."""
        return np.stack([self.carry @ mode for mode in modes]) if modes.ndim == 3 else self.carry @ modes

    def displacements(self, modes: Float[np.ndarray, "K O 3"]) -> Float[np.ndarray, "K N 3"]:
        """Displacements on the open model, carried, turned and scaled; none where the surfaces do not meet."""
        moved = self.carried(modes) @ (self.pose.scale * self.pose.rotation.T)
        return (moved * self.near[:, None]).astype(np.float32)


def find_correspondence(
    open_model: BaseModel,
    mean: Float[np.ndarray, "N 3"],
    triangles: np.ndarray,
    *,
    landmarks68: np.ndarray | None = None,
    note: Callable[[str], None] = silent,
) -> Correspondence:
    """The open model on a mean face.

    Args:
      landmarks68: [68] vertices, −1 where unknown: for the start alone, since conventions of landmarks differ.
      note: called with a word before each of `STEPS`.

    Raises:
      InputError: the mean face is much smaller or larger than a head in mm.
    """
    target = Mesh(np.asarray(mean, np.float64), triangles)
    source = Mesh(np.asarray(open_model.mean, np.float64), np.asarray(open_model.topology.triangles))
    regions = {name: np.asarray(mask) for name, mask in open_model.regions.items()}
    members = np.flatnonzero(regions["face"] & ~regions["eyes"])
    no_modes = np.zeros((0, *source.vertices.shape))
    note("moving")
    start = _start(open_model, source, target, landmarks68)
    rigid = fit_to_surface(source, no_modes, target, start=start, passes=_RIGID, members=members)
    if not SIZES[0] < rigid.pose.scale < SIZES[1]:
        raise InputError(
            f"the open model's face fits on its mean face at {rigid.pose.scale:.2g} times its size; check the "
            "source's unit"
        )
    note("fitting")
    identity = np.asarray(open_model.identity)
    modes = np.concatenate([identity[:20], np.asarray(open_model.expression)[:_EXPRESSIONS], identity[20:]])
    fit = fit_to_surface(source, modes, target, start=rigid.pose, passes=_BY_MODES, members=members)
    shape = fit.pose(source.vertices + np.tensordot(fit.coefficients, modes, 1))
    note("bending")
    bent = registration.bent(
        Mesh(shape, source.triangles),
        target,
        _FREELY,
        free=regions["eyes"] | _inner(regions),
        rounds=_ROUNDS,
    )
    note("carrying")
    carry, near = _carry(Mesh(bent, source.triangles), target)
    return Correspondence(bent, rigid.pose, carry, near)


def _inner(regions: dict[str, Bool[np.ndarray, "O"]]) -> Bool[np.ndarray, "O"]:
    """Vertices inside the mouth, which other meshes may lack."""
    return regions["mouth"] & ~regions["lips"] if "mouth" in regions else np.zeros_like(regions["eyes"])


def _start(open_model: BaseModel, source: Mesh, target: Mesh, marks: np.ndarray | None) -> Pose:
    """By known landmarks, or else the nose's tip onto the most forward point of the middle."""
    if marks is not None and (marks >= 0).sum() >= _LANDMARKED:
        fixed = open_model.landmarks
        known = np.flatnonzero(marks >= 0)
        known = known[known >= 17] if (known >= 17).sum() >= _LANDMARKED else known
        numbers = np.asarray(fixed.ibug_from_mediapipe)[known]
        corners, weights = (np.asarray(each)[numbers] for each in (fixed.fixed_vertices, fixed.fixed_weights))
        points, wanted = at(source.vertices, corners, weights), target.vertices[marks[known]]
        scale, rotation, centre = procrustes(points, wanted)
        return Pose(scale, rotation, wanted.mean(0) - scale * rotation @ centre)
    nose = source.vertices[np.asarray(open_model.regions["nose"])]
    tip = nose[nose[:, 2].argmax()]
    used = target.vertices[np.unique(target.triangles)]
    middle = (used[:, 0].min() + used[:, 0].max()) / 2
    strip = used[np.abs(used[:, 0] - middle) < 0.15 * np.ptp(used[:, 0])]
    return Pose(1.0, np.eye(3), strip[strip[:, 2].argmax()] - tip)


def _carry(bent: Mesh, target: Mesh) -> tuple[sparse.csr_matrix, np.ndarray]:
    corners, weights = closest_on_surface(target.vertices, bent.vertices, bent.triangles)
    rows = np.repeat(np.arange(len(corners)), 3)
    carry = sparse.csr_matrix((weights.ravel(), (rows, corners.ravel())), (len(corners), len(bent.vertices)))
    distance = np.linalg.norm(at(bent.vertices, corners, weights) - target.vertices, axis=1)
    normals = vertex_normals(target.vertices, target.triangles)
    facing = (at(vertex_normals(bent.vertices, bent.triangles), corners, weights) * normals).sum(1)
    return carry, (distance < NEAR) & (facing > -0.2)
