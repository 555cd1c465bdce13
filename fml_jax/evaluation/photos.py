"""Errors on photos: landmarks against MediaPipe's, colours against the photo."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from fml_jax.evaluation.metrics import box_size, landmark_error, mean_distance, photometric_error
from fml_jax.evaluation.relighting import relit
from fml_jax.fitting.landmarks import fit_landmarks
from fml_jax.image_formation.points import Points
from fml_jax.photos.crops import apply_affine
from fml_jax.reconstruction.decoding import decode_one
from fml_jax.reconstruction.reconstruction import Reconstruction, in_photo
from fml_jax.reconstruction.refinement import observed_points, refine, with_corrections

EVEN = np.arange(68) % 2 == 0


def colour_error(face: Reconstruction) -> float:
    """Mean RGB distance from the photo over visible skin."""
    points, seen, members = _seen_points(face)
    return photometric_error(np.asarray(points.colours), seen, members)


def face_colour_error(face: Reconstruction) -> float:
    """Mean RGB distance from the photo over the visible vertices of the face without its eyes."""
    points, seen = observed_points(face)
    regions = face.model.regions
    members = np.asarray(points.visible & regions["face"] & ~regions["eyes"])
    return photometric_error(np.asarray(points.colours), seen, members)


def network_errors(face: Reconstruction, reference: np.ndarray) -> dict[str, float]:
    """Errors of a reconstruction, of its base level where it has two, and of the mean face and the mean reflectance.

    The mean face has the pose that fits the reference landmarks best (the reconstruction does not use them);
    the mean reflectance has the light that fits the photo best. "Colours" compare visible skin, "face colours" all
    visible vertices of the face but the eyes.
    """
    points, seen, members = _seen_points(face)
    of_mean = relit(np.asarray(face.model.reflectance_mean), np.asarray(points.normals), seen, members=members)
    errors = {
        "landmarks": landmark_error(face.landmarks68, reference),
        "landmarks, mean face": landmark_error(_mean_face_landmarks(face, reference), reference),
        "colours": photometric_error(np.asarray(points.colours), seen, members),
        "colours, mean reflectance": photometric_error(of_mean, seen, members),
        "colours, whole face": face_colour_error(face),
    }
    errors |= _errors_by_uncertainty(face, reference)
    if face.final_code is None:
        return errors
    base = face.level("base")
    return errors | {
        "landmarks, base level": landmark_error(base.landmarks68, reference),
        "colours, base level": colour_error(base),
        "colours, whole face, base level": face_colour_error(base),
    }


def _errors_by_uncertainty(face: Reconstruction, reference: np.ndarray) -> dict[str, float]:
    """Landmark errors where the network expects the smallest and the largest ones, if it expects any."""
    if face.landmark_uncertainty is None:
        return {}
    order = np.argsort(face.landmark_uncertainty)
    parts = {"surest half": order[: len(order) // 2], "least sure tenth": order[-(len(order) // 10 + 1) :]}
    size = box_size(reference)
    return {
        f"landmarks, {name}": mean_distance(face.landmarks68[part], reference[part]) / size
        for name, part in parts.items()
    }


def refined_errors(face: Reconstruction, reference: np.ndarray) -> dict[str, float]:
    """Errors after `refine` with all landmarks, and with the even ones only; colours with and without corrections.

    Colours "held out" are those of a random half of the vertices, with corrections from the other half, a few pixels
    away. The code is fitted to all of them.
    """
    refined = refine(face, reference)
    half = refine(face, reference, used=EVEN)
    return {
        "landmarks, refined": landmark_error(refined.landmarks68, reference),
        "landmarks, refined, held out": mean_distance(half.landmarks68[~EVEN], reference[~EVEN]) / box_size(reference),
        "colours, refined": colour_error(refined),
        "colours, refined, without corrections": colour_error(_without_corrections(refined)),
        "colours, refined, held out": _held_out_colour_error(refined),
    }


def span_errors(face: Reconstruction, reference: np.ndarray) -> dict[str, float]:
    """The landmark error that the model's span allows: pose and shape fitted almost without a prior."""
    code = _fitted(face.model, face, reference, confidence=1000.0)
    return {"landmarks, best in span": landmark_error(_landmarks_in_photo(face, code), reference)}


def _without_corrections(refined: Reconstruction) -> Reconstruction:
    skin = refined.reflectance - refined.reflectance_corrections
    return replace(refined, reflectance=skin, reflectance_corrections=np.zeros_like(skin))


def _held_out_colour_error(refined: Reconstruction) -> float:
    """A random half of the vertices; the corrections are fitted to the others."""
    used = np.random.default_rng(0).random(len(refined.vertices)) < 0.5
    points, seen, members = _seen_points(with_corrections(refined, used))
    return photometric_error(np.asarray(points.colours), seen, members & ~used)


def _mean_face_landmarks(face, reference):
    """The mean face in the pose that fits the reference best, by a model whose modes are zero."""
    model = face.model
    rigid = model.replace(identity=0 * model.identity, expression=0 * model.expression)
    pose = _fitted(rigid, face, reference, confidence=1.0)
    mean_face = pose.replace(identity=0 * pose.identity, expression=0 * pose.expression)
    return _landmarks_in_photo(face, mean_face)


def _fitted(model, face, reference, confidence):
    targets = jnp.asarray(apply_affine(face.crop_from_photo, reference), jnp.float32)
    code = face.code
    for _ in range(2):
        code = fit_landmarks(model, code, targets, confidence=jnp.full(68, confidence, jnp.float32))
    return code


def _landmarks_in_photo(face, code):
    return in_photo(face.crop_from_photo, decode_one(face.model, code).landmarks)


def _seen_points(face) -> tuple[Points, np.ndarray, np.ndarray]:
    """Points of the face, the photo's colours at them, and which of them are visible skin."""
    points, seen = observed_points(face)
    return points, seen, np.asarray(points.visible & face.model.regions["skin"])
