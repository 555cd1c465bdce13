"""Refinement on one photo, from the network's answer: the base level's energy, then the final level's reflectance."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging

from fml_jax.codes import FaceCode, code_from_network, network_from_code
from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel, geometry, restrict
from fml_jax.face_model.files import load_face_model
from fml_jax.face_model.landmarks import landmarks68
from fml_jax.fitting.colours import Surface, colour_weights, solve_colours
from fml_jax.fitting.corrections import reflectance_corrections
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.illumination import sh_basis
from fml_jax.image_formation.points import form_points
from fml_jax.image_formation.rotation import rotation_matrix
from fml_jax.losses import PAPER_LANDMARKS, BaseWeights, Observation, base_energy
from fml_jax.ops.modes import plain_sum, weighted_sum
from fml_jax.ops.sampling import sample_bilinear
from fml_jax.photos.crops import apply_affine, crop_photo
from fml_jax.reconstruction.decoding import decode_one
from fml_jax.reconstruction.reconstruction import Reconstruction, in_photo

# One photo has to settle all 257 numbers: landmarks hold the shape, the prior what they leave open. Less prior on
# shape explains colours better, and pushes the mouth's inside through the skin about it.
WEIGHTS = BaseWeights(photo=4000.0, sparse=3.8, reg=0.14, rstd=0.06, contour="pose")

# What holds back what the photo does not tell. Skin half as bright under twice the light looks the same, so that the
# descent would follow whatever small gain there is, far beyond any skin; and no colour is compared with the eyes'.
LIGHT = 60.0  # per squared change of γ
EYES = 300.0  # per mean squared change of the eyes' reflectance

# What the network's own landmarks count for where none are detected.
UNDETECTED_CONFIDENCE = 0.1

# Landmarks whose centre is further off than this part of the face's size are of another face.
ELSEWHERE = 0.5

LANDMARK_STEPS = 12  # Gauss–Newton steps on landmarks and prior
COLOUR_ROUNDS = 8  # of light and reflectance in turn, each a weighted linear problem
ENERGY_STEPS = 300  # Adam steps on the whole energy
ENERGY_RATE = 0.2


def refine(face: Reconstruction, landmarks: np.ndarray | None = None, used: np.ndarray | None = None) -> Reconstruction:
    """A reconstruction with less energy on its photo, its reflectance corrected beyond the model's modes.

    Args:
      landmarks: [68, 2] pixels of the photo; None has MediaPipe find them where it can, and
        otherwise keeps near the network's own.
      used: [68] bool, landmarks that may be fitted (the others are for scoring the fit).
    """
    confidence = np.ones(68, np.float32)
    landmarks = _detected(face) if landmarks is None else landmarks
    if landmarks is None:
        landmarks, confidence = face.landmarks68, confidence * UNDETECTED_CONFIDENCE
    if used is not None:
        confidence = confidence * np.asarray(used, np.float32)
    targets = jnp.asarray(apply_affine(face.crop_from_photo, landmarks), jnp.float32)
    crop = jnp.asarray(crop_photo(face.photo, face.crop_from_photo), jnp.float32) / 255

    code = fit_landmarks(_landmark_model(), face.code, targets, jnp.asarray(confidence))
    code = fit_colours(_face_model(), code, crop)
    eyes = face.code.reflectance
    code = jax.device_get(fit_energy(_face_model(), code, crop, targets, jnp.asarray(confidence), eyes))
    return with_corrections(with_code(face, code))


@jax.jit
def fit_landmarks(model: BaseModel, code: FaceCode, targets: jax.Array, confidence: jax.Array) -> FaceCode:
    """Pose and shape that minimise E_sparse and E_std: damped Gauss–Newton, reflectance and light as they are.

    Args:
      model: any restriction of the face model that keeps its landmarks.
      targets: [68, 2] crop pixels; confidence [68].
    """
    sizes = model.code_sizes
    shape_size = sizes[0] + sizes[1]
    start = network_from_code(code)
    free = jnp.concatenate([jnp.arange(shape_size), sum(sizes) + jnp.arange(6)])
    landmark_scale = jnp.sqrt(WEIGHTS.sparse * PAPER_LANDMARKS * confidence / PAPER_LANDMARKS.sum())

    def residuals(values):
        candidate = code_from_network(start.at[free].set(values), *sizes)
        vertices = geometry(model, candidate.identity, candidate.expression, plain_sum)
        marks = landmarks68(model.landmarks, vertices, rotation_matrix(candidate.rotation))
        gaps = project(to_camera(marks, candidate.rotation, candidate.translation)) - targets
        prior = jnp.sqrt(WEIGHTS.reg) * values[:shape_size]
        return jnp.concatenate([(landmark_scale[:, None] * gaps).ravel(), prior])

    def step(state, _):
        values, damping = state
        current = residuals(values)
        jacobian = jax.jacfwd(residuals)(values)
        normal = jacobian.T @ jacobian
        update = jnp.linalg.solve(normal + damping * jnp.diag(jnp.diag(normal)), jacobian.T @ current)
        better = jnp.sum(residuals(values - update) ** 2) < jnp.sum(current**2)
        values = jnp.where(better, values - update, values)
        return (values, jnp.where(better, damping / 5, damping * 10)), None

    (values, _), _ = jax.lax.scan(step, (start[free], jnp.float32(1e-2)), length=LANDMARK_STEPS)
    return code_from_network(start.at[free].set(values), *sizes)


@jax.jit
def fit_colours(model: BaseModel, code: FaceCode, crop: jax.Array) -> FaceCode:
    """Illumination and reflectance that minimise E_photo and E_std while the geometry stays."""
    points = form_points(model, code)
    surface = Surface(
        mean=model.reflectance_mean,
        modes=model.reflectance,
        basis=sh_basis(points.normals).T,
        seen=sample_bilinear(crop, points.pixels),
        members=(points.visible * model.regions["face"]).astype(crop.dtype),
    )
    # E_std stands for the whole of β² and not for its half.
    prior = 2 * WEIGHTS.reg * WEIGHTS.rstd / WEIGHTS.photo
    centre = jnp.zeros_like(code.reflectance)
    gamma, beta = solve_colours(surface, code.illumination, code.reflectance, centre, prior, COLOUR_ROUNDS)
    return code.replace(illumination=gamma, reflectance=beta)


@jax.jit
def fit_energy(
    model: BaseModel, code: FaceCode, crop: jax.Array, targets: jax.Array, confidence: jax.Array, eyes: jax.Array
) -> FaceCode:
    """All 257 numbers by Adam on the base level's energy (eq. 6); the best ones met are returned.

    Args:
      code: where to begin; the light is pulled back to its light.
      eyes: β, to whose reflectance the eyes' is pulled.
    """
    sizes = model.code_sizes
    optimizer = optax.adam(optax.cosine_decay_schedule(ENERGY_RATE, ENERGY_STEPS, alpha=0.05))

    def untold(found):
        relit = jnp.sum((found.illumination - code.illumination) ** 2)
        repainted = weighted_sum(found.reflectance - eyes, model.reflectance)
        in_eyes = model.regions["eyes"] * jnp.sum(repainted**2, axis=1)
        return LIGHT * relit + EYES * jnp.sum(in_eyes) / jnp.maximum(jnp.sum(model.regions["eyes"]), 1)

    def energy(raw):
        found = code_from_network(raw, *sizes)
        observation = Observation(crop, targets, confidence)
        return base_energy(model, found, observation, weights=WEIGHTS)[0] + untold(found)

    def step(state, _):
        raw, opt_state, best, best_energy = state
        value, gradient = jax.value_and_grad(energy)(raw)
        best = jnp.where(value < best_energy, raw, best)
        updates, opt_state = optimizer.update(gradient, opt_state)
        return (optax.apply_updates(raw, updates), opt_state, best, jnp.minimum(value, best_energy)), None

    start = network_from_code(code)
    state = (start, optimizer.init(start), start, jnp.float32(jnp.inf))
    (_, _, best, _), _ = jax.lax.scan(step, state, length=ENERGY_STEPS)
    return code_from_network(best, *sizes)


def _detected(face: Reconstruction) -> np.ndarray | None:
    """MediaPipe's landmarks as iBUG's 68, None where its model or this very face is not to be had."""
    if not _landmarks_are_at_hand():
        return None
    from fml_jax.photos.landmarks import detect_landmarks, ibug68

    found = detect_landmarks(face.photo, tuple(face.box))
    return None if found is None or _is_elsewhere(ibug68(found), face.landmarks68) else ibug68(found)


@cache
def _landmarks_are_at_hand() -> bool:
    """Whether MediaPipe and its model can be used; asked once, since the answer may take a download."""
    try:
        import mediapipe  # noqa: F401

        from fml_jax.photos.landmark_model import find_landmark_model

        find_landmark_model()
    except (InputError, ImportError, OSError) as error:
        logging.warning("refining without landmarks: %s", error)
        return False
    return True


def _is_elsewhere(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether landmarks are those of a neighbour, who may be the more prominent one about a box."""
    size = np.sqrt(np.prod(np.ptp(expected, axis=0)))
    return bool(np.linalg.norm(found.mean(axis=0) - expected.mean(axis=0)) > ELSEWHERE * size)


def with_code(face: Reconstruction, code: FaceCode) -> Reconstruction:
    """The same face of the same photo, said by another code, without corrections."""
    decoded = decode_one(face.model, code)
    return replace(
        face,
        code=code,
        vertices=decoded.vertices,
        reflectance=decoded.reflectance,
        reflectance_corrections=np.zeros_like(decoded.reflectance),
        landmarks68=in_photo(face.crop_from_photo, decoded.landmarks),
        projected=in_photo(face.crop_from_photo, decoded.projected),
    )


def with_corrections(face: Reconstruction, used: np.ndarray | None = None) -> Reconstruction:
    """The same face with `reflectance_corrections`, of what the vertices `used` [N] show, or all of them."""
    corrections = reflectance_corrections(face, used)
    base = face.reflectance - face.reflectance_corrections
    return replace(face, reflectance=base + corrections, reflectance_corrections=corrections)


@cache
def _face_model() -> BaseModel:
    """The face, of which bare skin counts most: beards and brows follow from few modes or none."""
    model = load_face_model(detail="face")
    return model.replace(regions={**model.regions, "face": jnp.asarray(colour_weights(model))})


@cache
def _landmark_model() -> BaseModel:
    """Only the vertices that landmarks rest on: all that the first fit looks at."""
    model = _face_model()
    return restrict(model, np.zeros(model.vertex_count, bool))
