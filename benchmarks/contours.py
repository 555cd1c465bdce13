"""Measures what a sliding contour is worth: landmarks fitted with fixed, `rays` and `pose` contours (figure 2).

    python -m benchmarks.contours [--faces=300]

Random faces of the model, turned to the side, have iBUG's landmarks as annotators see them: the contour lies on the
visible edge of the face, as `project_landmarks` places it, with noise of --noise pixels on each point. One solver fits
pose and shape, first without the contour ("inner points"), then from there with each kind of contour. The table has the
fits' errors against the known face: the head's rotation, and the shape with its expression after a similarity.

The kind "pose" slides as the landmarks do, which is an advantage over "rays", for which any vertex near the jaw's edge
may be the contour.
"""

import functools
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from fml_jax.codes import POSE_AND_LIGHT, FaceCode, code_from_network, network_from_code, neutral_code
from fml_jax.corpus.device_augmentation import near_frontal
from fml_jax.evaluation.metrics import geometry_error, rotation_error
from fml_jax.evaluation.tables import markdown
from fml_jax.face_model import load_face_model
from fml_jax.face_model.base import BaseModel, geometry
from fml_jax.face_model.landmarks import CONTOUR, contour_by_rays, landmarks68
from fml_jax.fitting.energy import WEIGHTS
from fml_jax.fitting.least_squares import least_squares
from fml_jax.image_formation.camera import project, to_camera, view_rays
from fml_jax.image_formation.landmark_projection import project_landmarks
from fml_jax.image_formation.rotation import rotation_matrix
from fml_jax.losses import PAPER_LANDMARKS
from fml_jax.ops.modes import weighted_sum_plain
from fml_jax.reconstruction.refinement import landmark_model

_FACES = flags.DEFINE_integer("faces", 300, "Random faces.", lower_bound=1)
_NOISE = flags.DEFINE_float("noise", 1.5, "Standard deviation of the landmarks' noise, crop pixels.", lower_bound=0)
_SEED = flags.DEFINE_integer("seed", 0, "Another seed makes other faces.")

INNER = "inner points"
KINDS = INNER, "fixed", "rays", "pose"
YAWS = (0, 20, 40, 60)  # degrees: faces are turned by uniformly distributed angles, and grouped by these
STEPS = 15
SHAPES = 0.7  # standard deviation of the random faces' coefficients
PITCH, ROLL = 10.0, 8.0  # degrees, standard deviations
_BATCH = 25


def main(_):
    model = load_face_model(detail="face")
    codes, yaws = random_faces(model, _FACES.value, np.random.default_rng(_SEED.value))
    points = jax.jit(jax.vmap(lambda code: project_landmarks(model, code)))(codes)
    points = points + _NOISE.value * np.random.default_rng(_SEED.value + 1).standard_normal(points.shape)
    lines = []
    errors = {kind: errors_of(model, codes, fits(kind, np.asarray(points, np.float32))) for kind in KINDS}
    for low, high in itertools.pairwise(YAWS):
        group = (yaws >= low) & (yaws < high)
        for kind in KINDS:
            lines.append(
                (f"{low} to {high}°", kind, group.sum(), *(f"{each:.2f}" for each in errors[kind][group].mean(axis=0)))
            )
    print(markdown(["yaw", "contour", "faces", "rotation, degrees", "shape, mm"], lines))


def random_faces(model: BaseModel, count: int, rng: np.random.Generator) -> tuple[FaceCode, np.ndarray]:
    """Codes [count, …], and their yaws in degrees, without their signs."""
    neutral = neutral_code(model.code_sizes)
    yaw = rng.uniform(YAWS[0], YAWS[-1], count)
    turns = np.radians(
        np.stack([yaw * rng.choice([-1, 1], count), PITCH * rng.normal(size=count), ROLL * rng.normal(size=count)])
    )
    codes = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], count, axis=0), neutral)
    shapes = {
        name: jnp.asarray(SHAPES * rng.normal(size=(count, getattr(model.code_sizes, name))), jnp.float32)
        for name in ("identity", "expression")
    }
    rotations = np.array([_axis_angle(*turn) for turn in turns.T], np.float32)
    return codes.replace(rotation=jnp.asarray(rotations), **shapes), yaw


def _axis_angle(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Of a head that faces the camera but for these turns, radians."""
    facing = np.asarray(rotation_matrix(jnp.array([np.pi, 0, 0])))
    turned = [np.asarray(rotation_matrix(jnp.asarray(turn))) for turn in ([0, yaw, 0], [pitch, 0, 0], [0, 0, roll])]
    return np.asarray(near_frontal(jnp.asarray(turned[2] @ turned[1] @ turned[0] @ facing)))


def fits(kind: str, points: np.ndarray) -> FaceCode:
    """Codes [B, …] of pictures' landmarks [B, 68, 2]."""
    model, fit = landmark_model(load_face_model(detail="face")), fitted(kind)
    parts = [fit(model, points[first : first + _BATCH]) for first in range(0, len(points), _BATCH)]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


@functools.cache
def fitted(kind: str) -> Callable[[BaseModel, np.ndarray], FaceCode]:
    """A function of (model, points in crop pixels [B, 68, 2]) that fits pose and shape."""

    def fit(model, points):
        code = _fit(INNER, model, neutral_code(model.code_sizes), points)
        return _fit(kind, model, code, points)  # also of the inner points, so that all have as many steps

    return jax.jit(jax.vmap(fit, in_axes=(None, 0)))


def errors_of(model: BaseModel, true: FaceCode, found: FaceCode) -> np.ndarray:
    """[B, 2]: degrees and mm."""
    members = np.asarray(model.regions["face"])
    shapes = [
        np.asarray(jax.vmap(lambda c: geometry(model, c.identity, c.expression))(codes)) for codes in (found, true)
    ]
    turns = [np.asarray(jax.vmap(rotation_matrix)(codes.rotation)) for codes in (found, true)]
    pairs = zip(*turns, *shapes, strict=True)
    return np.array([(rotation_error(a, b), geometry_error(c[None], d[None], members)) for a, b, c, d in pairs])


def gaps(kind: str, model: BaseModel, code: FaceCode, points: jax.Array) -> jax.Array:
    """Distances of the face's points from those of the picture, each with the root of its share of E_sparse."""
    rotation = rotation_matrix(code.rotation)
    vertices = geometry(model, code.identity, code.expression, summed=weighted_sum_plain)
    vertices = to_camera(vertices, code.rotation, code.translation)
    upright = rotation_matrix(jnp.array([jnp.pi, 0.0, 0.0]))
    places = landmarks68(model.landmarks, vertices, upright if kind == "fixed" else rotation)
    if kind == "rays":
        places = places.at[:CONTOUR].set(contour_by_rays(model.landmarks, vertices, view_rays(points[:CONTOUR])))
    counted = PAPER_LANDMARKS & ((np.arange(68) >= CONTOUR) | (kind != INNER))
    return np.sqrt(counted / PAPER_LANDMARKS.sum())[:, None] * (project(places) - points)


def _fit(kind: str, model: BaseModel, first: FaceCode, points: jax.Array) -> FaceCode:
    """Pose and shape that minimise E_sparse and E_std (eq. 10 and 11), from a first code."""
    sizes = model.code_sizes
    start = jnp.asarray(network_from_code(first))
    shapes = sizes.identity + sizes.expression
    free = jnp.concatenate([jnp.arange(shapes), sizes.total - POSE_AND_LIGHT + jnp.arange(6)])

    def residuals(values):
        code = code_from_network(start.at[free].set(values), sizes)
        prior = np.sqrt(WEIGHTS.reg) * values[:shapes]
        return jnp.concatenate([np.sqrt(WEIGHTS.sparse) * gaps(kind, model, code, points).ravel(), prior])

    values = least_squares(residuals, start[free], steps=STEPS)
    return code_from_network(start.at[free].set(values), sizes)


if __name__ == "__main__":
    app.run(main)
