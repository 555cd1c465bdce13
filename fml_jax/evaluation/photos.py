"""Errors on photos: landmarks and pose against MediaPipe's landmarks, colours against the photo."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from fml_jax.evaluation.metrics import box_size, landmark_error, mean_distance, photometric_error, rotation_error
from fml_jax.evaluation.relighting import relit
from fml_jax.fitting.landmarks import fit_landmarks
from fml_jax.image_formation.landmark_projection import project_landmarks
from fml_jax.image_formation.points import Points
from fml_jax.image_formation.rotation import head_angles, rotation_matrices
from fml_jax.photos.crops import apply_affine
from fml_jax.reconstruction.reconstruction import Reconstruction, in_photo
from fml_jax.reconstruction.refinement import landmark_model, observed_points, refine, with_corrections

# Columns of lists, one number a landmark, relative to the face's size.
EXPECTED, DISTANCES = "expected distances", "distances"
EVEN = np.arange(68) % 2 == 0
_PROJECTED = jax.jit(project_landmarks)


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


def network_errors(face: Reconstruction, reference: np.ndarray) -> dict[str, float | list[float]]:
    """Errors of a reconstruction, of its base level where it has two, and of the mean face and the mean reflectance.

    The mean face has the pose that fits the reference landmarks best (the reconstruction does not use them);
    the mean reflectance has the light that fits the photo best. "Colours" compare visible skin, "face colours" all
    visible vertices of the face but the eyes. `EXPECTED` and `DISTANCES` are lists, for `errors_by_uncertainty`.
    """
    points, seen, members = _seen_points(face)
    of_mean = relit(np.asarray(face.model.reflectance_mean), np.asarray(points.normals), seen, members=members)
    errors: dict[str, float | list[float]] = {
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


def _errors_by_uncertainty(face: Reconstruction, reference: np.ndarray) -> dict[str, list[float]]:
    """The error of each landmark, and the error that the network expects of it, if it expects any."""
    if face.landmark_uncertainty is None:
        return {}
    size = box_size(reference)
    distances = np.linalg.norm(face.landmarks68 - reference, axis=1) / size
    return {EXPECTED: (face.landmark_uncertainty / size).tolist(), DISTANCES: distances.tolist()}


def errors_by_uncertainty(
    expected: Float[np.ndarray, "P"], distances: Float[np.ndarray, "P"]
) -> dict[str, Float[np.ndarray, "_"]]:
    """The distances of the surest half of the points, and of their least sure tenth.

    Args:
      expected: distances that the network expects, of the points of one face or of many faces together.
      distances: from the reference.
    """
    by_expected = distances[np.argsort(expected, kind="stable")]
    count = len(by_expected)
    return {"surest half": by_expected[: count // 2], "least sure tenth": by_expected[count - max(count // 10, 1) :]}


def refined_errors(face: Reconstruction, reference: np.ndarray) -> dict[str, float]:
    """Errors after `refine` with all landmarks, and with the even ones only; colours with and without corrections.

    Colours "held out" are those of a random half of the vertices, with corrections from the other half, a few pixels
    away. The code is fitted to all of them.
    """
    refined = refine(face, reference)
    half = refine(face, reference, used=EVEN)
    return {
        "landmarks, refined": landmark_error(refined.landmarks68, reference),
        "pose, refined": _pose_error(refined, _fitted_almost_freely(refined, reference)),
        "landmarks, refined, held out": mean_distance(half.landmarks68[~EVEN], reference[~EVEN]) / box_size(reference),
        "colours, refined": colour_error(refined),
        "colours, refined, without corrections": colour_error(_without_corrections(refined)),
        "colours, refined, held out": _held_out_colour_error(refined),
    }


def span_errors(face: Reconstruction, reference: np.ndarray) -> dict[str, float]:
    """What the model's span allows: pose and shape fitted to the reference almost without a prior.

    Returns:
      Its landmark error; its yaw, and the angle between its rotation and the reconstruction's, in degrees.
    """
    code = _fitted_almost_freely(face, reference)
    return {
        "landmarks, best in span": landmark_error(_landmarks_in_photo(face, code), reference),
        "yaw": float(head_angles(np.asarray(code.rotation)[None])[0, 0]),
        "pose": _pose_error(face, code),
    }


def lighting(face: Reconstruction) -> dict[str, float]:
    """How a face is lit, by the photo's colours at its visible skin.

    Returns:
      Mean brightness in [0, 1], and the difference of the two sides' means over their sum.
    """
    points, seen, members = _seen_points(face)
    left = np.asarray(face.model.mean)[:, 0] > 0
    grey = np.asarray(seen, np.float64).mean(axis=1)
    sides = [float(grey[members & side].mean()) if (members & side).any() else 0.0 for side in (left, ~left)]
    return {
        "brightness": float(grey[members].mean()),
        "side light": abs(sides[0] - sides[1]) / max(sides[0] + sides[1], 1e-6) if min(sides) > 0 else 1.0,
    }


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
    model = landmark_model(face.model)
    rigid = model.replace(identity=0 * model.identity, expression=0 * model.expression)
    pose = _fitted(rigid, face, reference, confidence=1.0)
    mean_face = pose.replace(identity=0 * pose.identity, expression=0 * pose.expression)
    return _landmarks_in_photo(face, mean_face)


def _fitted_almost_freely(face, reference):
    return _fitted(landmark_model(face.model), face, reference, confidence=1000.0)


def _fitted(points, face, reference, confidence):
    """The code whose landmarks fit; `points` are the model's vertices on which landmarks rest."""
    targets = jnp.asarray(apply_affine(face.crop_from_photo, reference), jnp.float32)
    code = face.code
    for _ in range(2):
        code = fit_landmarks(points, code, targets, confidence=jnp.full(68, confidence, jnp.float32))
    return code


def _landmarks_in_photo(face, code):
    return in_photo(face.crop_from_photo, np.asarray(_PROJECTED(landmark_model(face.model), code)))


def _pose_error(face, code) -> float:
    return rotation_error(*rotation_matrices(np.stack([face.rotation, np.asarray(code.rotation)])))


def _seen_points(face) -> tuple[Points, np.ndarray, np.ndarray]:
    """Points of the face, the photo's colours at them, and which of them are visible skin."""
    points, seen = observed_points(face)
    return points, seen, np.asarray(points.visible & face.model.regions["skin"])
