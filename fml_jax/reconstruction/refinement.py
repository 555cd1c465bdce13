"""Refinement of a reconstruction on its photo: all parameters of the base level, then corrections of reflectance.

The final level's corrections F_g(δ_g) and F_r(δ_r) stay as the network predicts them: they are added to the face
model's means, so that the base level is fitted to what they leave over. Where objects hide the face, the photo is not
compared with it.
"""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Bool, Float

from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel, kept_vertices, restrict
from fml_jax.face_model.correctives import Corrections
from fml_jax.face_model.files import load_face_model
from fml_jax.fitting.colours import colour_weights, fit_colours
from fml_jax.fitting.corrections import fit_corrections
from fml_jax.fitting.energy import fit_energy
from fml_jax.fitting.landmarks import fit_landmarks
from fml_jax.image_formation.illumination import shading
from fml_jax.image_formation.occlusion import crop_sized, seen_share
from fml_jax.image_formation.points import Points, form_points_of, inside_image
from fml_jax.losses import Observation
from fml_jax.ops.images import unit_range
from fml_jax.ops.sampling import sample_bilinear
from fml_jax.photos.crops import apply_affine, crop_photo
from fml_jax.reconstruction.levels import learned_corrections, with_refitted_base
from fml_jax.reconstruction.reconstruction import Reconstruction

# Confidence of the network's own landmarks, which are used where none are detected.
UNDETECTED_CONFIDENCE = 0.1

# Detected landmarks whose centre is further off than this share of the face's size belong to another face.
ELSEWHERE = 0.5


def refine(
    face: Reconstruction,
    landmarks: Float[np.ndarray, "68 2"] | None = None,
    used: Bool[np.ndarray, "68"] | None = None,
) -> Reconstruction:
    """A reconstruction with a lower energy on its photo (eq. 6), and with corrections of its reflectance.

    Args:
      landmarks: iBUG points in pixels of the photo. None: MediaPipe detects them if it is installed and has its model
        file; otherwise the network's own landmarks are used, with a low confidence.
      used: landmarks that may be fitted (the others are for measuring the fit).
    """
    observation, learned = observation_of(face, landmarks, used), learned_corrections(face)
    points, whole = landmark_model(face.model, learned), fitting_model(face.model, learned)
    code = fit_landmarks(
        points, face.code, observation.landmarks, confidence=observation.confidence, person=face.code.identity
    )
    code = fit_colours(whole, code, observation.image, mask=observation.mask)
    code = fit_energy(whole, code, observation, start=face.code)
    return with_corrections(with_refitted_base(face, jax.device_get(code), learned))


def observation_of(
    face: Reconstruction,
    landmarks: Float[np.ndarray, "68 2"] | None = None,
    used: Bool[np.ndarray, "68"] | None = None,
) -> Observation:
    """What a face is fitted to: its crop, and landmarks with their confidence; arguments as those of `refine`."""
    confidence = np.ones(68, np.float32)
    landmarks = _detected(face) if landmarks is None else landmarks
    if landmarks is None:
        landmarks, confidence = face.landmarks68, confidence * UNDETECTED_CONFIDENCE
    if used is not None:
        confidence = confidence * np.asarray(used, np.float32)
    targets = jnp.asarray(apply_affine(face.crop_from_photo, landmarks), jnp.float32)
    mask = None if face.unoccluded is None else crop_sized(jnp.asarray(face.unoccluded)[None])[0]
    return Observation(_crop(face), targets, jnp.asarray(confidence), mask)


def with_corrections(face: Reconstruction, used: Bool[np.ndarray, "N"] | None = None) -> Reconstruction:
    """The same face with `reflectance_corrections` from the vertices `used`, or from all of them."""
    corrections = reflectance_corrections(face, used)
    base = face.reflectance - face.reflectance_corrections
    return replace(face, reflectance=base + corrections, reflectance_corrections=corrections)


def reflectance_corrections(
    face: Reconstruction, used: Bool[np.ndarray, "N"] | None = None
) -> Float[np.ndarray, "N 3"]:
    """F_r of a face on its photo, under its code's geometry and light; see `fitting.corrections.fit_corrections`.

    Args:
      used: vertices that may be compared with the photo (the others are for measuring the fit).

    Raises:
      ValueError: the face model has no region "face".
    """
    points, observed = observed_points(face)
    light = np.asarray(shading(points.normals, face.code.illumination))
    base_colours = points.colours - face.reflectance_corrections * light
    # Beyond the photo the crop repeats its border.
    comparable = np.asarray(inside_image(face.projected, *face.photo.shape[:2]))
    if face.unoccluded is not None:
        comparable = comparable & (np.asarray(seen_share(face.unoccluded, points.pixels)) > 0.5)
    if used is not None:
        comparable = comparable & used
    return fit_corrections(face.model, points, observed - base_colours, light=light, used=comparable)


def observed_points(face: Reconstruction) -> tuple[Points, Float[np.ndarray, "N 3"]]:
    """The points of a face, and the colours of its crop at their pixels; NumPy arrays."""
    model = face.model
    return jax.device_get(_observed_points(model.topology, face.vertices, face.reflectance, face.code, _crop(face)))


@jax.jit
def _observed_points(topology, vertices, reflectance, code, crop):
    points = form_points_of(topology, vertices, reflectance, code=code)
    return points, sample_bilinear(crop, points.pixels)


def _crop(face: Reconstruction) -> Float[jax.Array, "240 240 3"]:
    return jnp.asarray(unit_range(crop_photo(face.photo, face.crop_from_photo)))


def _detected(face: Reconstruction) -> np.ndarray | None:
    """MediaPipe's landmarks as iBUG's 68; None where its model is not available or it finds another face."""
    if not _landmarks_are_available():
        return None
    from fml_jax.photos.landmarks import detect_landmarks, ibug68

    found = detect_landmarks(face.photo, tuple(face.box))
    return None if found is None or _is_elsewhere(ibug68(found), face.landmarks68) else ibug68(found)


@cache
def _landmarks_are_available() -> bool:
    """Whether MediaPipe and its model can be used; checked once, since the check may include a download."""
    try:
        import mediapipe  # noqa: F401

        from fml_jax.photos.landmark_model import find_landmark_model

        find_landmark_model()
    except (InputError, ImportError, OSError) as error:
        logging.warning("refining without landmarks: %s", error)
        return False
    return True


def _is_elsewhere(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether landmarks belong to a neighbour, who may be more prominent near a box."""
    size = np.sqrt(np.prod(np.ptp(expected, axis=0)))
    return bool(np.linalg.norm(found.mean(axis=0) - expected.mean(axis=0)) > ELSEWHERE * size)


def fitting_model(model: BaseModel, learned: Corrections | None = None) -> BaseModel:
    """A model's face region with the final level's corrections in its means.

    Its weights prefer bare skin, since few or no modes express beards and brows.

    Args:
      learned: F_g and F_r of all vertices of the model; None: the base level alone.
    """
    face, rows = _fitting_model(model.file)
    return face if learned is None else _with_means(face, rows, learned)


def landmark_model(model: BaseModel, learned: Corrections | None = None) -> BaseModel:
    """Only the vertices that landmarks depend on, which is all that `fit_landmarks` needs.

    Args:
      learned: as of `fitting_model`; None: the base level alone.
    """
    points, rows = _landmark_model(model.file)
    return points if learned is None else _with_means(points, rows, learned)


def _with_means(model: BaseModel, rows: np.ndarray, learned: Corrections) -> BaseModel:
    geometry, reflectance = (jnp.asarray(each)[rows] for each in learned)
    return model.replace(mean=model.mean + geometry, reflectance_mean=model.reflectance_mean + reflectance)


@cache
def _fitting_model(file: str) -> tuple[BaseModel, np.ndarray]:
    """The model, and which of the standard mesh's vertices its own are."""
    standard = load_face_model(file or None)
    model = load_face_model(file or None, detail="face")
    rows = kept_vertices(standard, np.asarray(standard.regions["face"]))
    return model.replace(regions={**model.regions, "face": jnp.asarray(colour_weights(model))}), rows


@cache
def _landmark_model(file: str) -> tuple[BaseModel, np.ndarray]:
    model, rows = _fitting_model(file)
    nothing = np.zeros(model.vertex_count, bool)
    return restrict(model, nothing), rows[kept_vertices(model, nothing)]
