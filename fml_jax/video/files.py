"""Files of a person of a clip: all numbers, ARKit's weights, and an animated head."""

import csv
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from fml_jax.codes import flatten_code
from fml_jax.export.glb import Animation, write_glb
from fml_jax.export.head import REST, Head, head_with
from fml_jax.export.png import as_jpeg
from fml_jax.export.textures import atlas_of
from fml_jax.fitting.named_shapes import named_shapes
from fml_jax.image_formation.camera import FOCAL_IN_CROP_WIDTHS
from fml_jax.image_formation.rotation import head_angles
from fml_jax.ops.images import eight_bits
from fml_jax.safe_npz import write_npz
from fml_jax.video.clip_face import ClipFace

FORMAT_VERSION = 1
REST_SHAPES = 6  # targets for what ARKit's shapes leave of the expressions
_GL_FROM_CV = np.diag([1.0, -1.0, -1.0])  # cameras look along −z with y up, not along z with y down
_ANGLES = ("headYaw", "headPitch", "headRoll")  # degrees
_NO_PHOTO = np.zeros((16, 16, 3), np.uint8)


class Shapes(NamedTuple):
    """Expressions of T frames as weights of K targets, a named one for each of ARKit's shapes first."""

    names: tuple[str, ...]  # K
    codes: np.ndarray  # [K, m_e]
    weights: np.ndarray  # [T, K]
    named: int  # how many of the targets are ARKit's


def shapes_of(face: ClipFace) -> Shapes:
    """The targets and weights that make up a person's expressions.

    ARKit's shapes have the weights in [0, 1] that come nearest to each expression. What they leave is its mean, with
    weight 1 always, and the REST_SHAPES directions in which it varies most.
    """
    expressions, found = np.asarray(face.code.expression, np.float64), named_shapes(face.model)
    names: tuple[str, ...] = ()
    if found is None:
        named = np.zeros((len(expressions), 0))
        codes, factor = np.zeros((0, expressions.shape[1])), np.eye(expressions.shape[1])
    else:
        named = np.stack([found.weights(each) for each in expressions])
        codes, names, factor = found.codes, found.names, found.factor
    left = expressions - named @ codes
    mean = left.mean(axis=0)
    _, _, axes = np.linalg.svd((left - mean) @ factor.T, full_matrices=False)
    axes = axes[:REST_SHAPES]
    varied = (left - mean) @ factor.T @ axes.T
    return Shapes(
        (*names, *(f"{REST}{k + 1}" for k in range(len(axes))), REST),
        np.concatenate([codes, np.linalg.solve(factor, axes.T).T, mean[None]]),
        np.concatenate([named, varied, np.ones((len(left), 1))], axis=1),
        len(names),
    )


def write_numbers(path: Path, face: ClipFace, shapes: Shapes) -> None:
    """All numbers as one npz file: the person's once, and those of each frame with a leading axis.

    Raises:
      OSError: the file cannot be written.
    """
    still = face.at(0, _NO_PHOTO)
    neutral = still.vertices - np.tensordot(np.asarray(still.code.expression), np.asarray(face.model.expression), 1)
    arrays: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "source": face.source,
        "index": face.index,
        "model_version": face.model_version,
        "rate": face.rate,
        "neutral": neutral,
        "triangles": face.triangles,
        "reflectance": still.reflectance,
        "crop_from_photo": face.crop_from_photo,
        "frames": face.frames,
        "times": face.times,
        "codes": flatten_code(face.code),
        "code_sizes": face.code.sizes,
        "expression": face.code.expression,
        "rotation": face.code.rotation,
        "translation": face.code.translation,
        "illumination": face.code.illumination,
        "landmarks68": face.landmarks68,
        "landmark_uncertainty": face.landmark_uncertainty,
        "scores": face.scores,
        "arkit_names": shapes.names[: shapes.named],
        "arkit_weights": shapes.weights[:, : shapes.named],
    }
    if face.delta is not None:
        arrays |= {"delta_geometry": face.delta.geometry, "delta_reflectance": face.delta.reflectance}
    write_npz(path, {name: np.asarray(array) for name, array in arrays.items()})


def write_weights(path: Path, face: ClipFace, shapes: Shapes) -> None:
    """ARKit's weights and the head's angles as CSV, one line a frame.

    Raises:
      OSError: the file cannot be written.
    """
    angles = head_angles(face.code.rotation)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "seconds", *shapes.names[: shapes.named], *_ANGLES])
        for k, frame in enumerate(face.frames):
            weights = [f"{weight:.4f}" for weight in shapes.weights[k, : shapes.named]]
            writer.writerow([frame, f"{face.times[k]:.4f}", *weights, *(f"{angle:.3f}" for angle in angles[k])])


def write_animated_glb(path: Path, face: ClipFace, shapes: Shapes) -> None:
    """The head as GLB with its motion: see `export.glb.write_glb`.

    Raises:
      OSError: the file cannot be written.
    """
    still = face.at(0, _NO_PHOTO)
    texture = eight_bits(atlas_of(face.model).baked(still.reflectance))
    about = {"clip": face.source, "face": face.index, "face_model": face.model.name}
    write_glb(path, _head(face, shapes), jpeg=as_jpeg(texture), extras=about, animation=_animation(face, shapes))


def _head(face: ClipFace, shapes: Shapes) -> Head:
    """The head as it is stored: without expression but for the rest's mean."""
    stored = np.zeros(len(shapes.names))
    stored[-1] = 1.0
    return head_with(face.at(0, _NO_PHOTO), shapes.names, shapes.codes, weights=stored)


def _animation(face: ClipFace, shapes: Shapes) -> Animation:
    turns = Rotation.from_matrix(_GL_FROM_CV @ Rotation.from_rotvec(face.code.rotation).as_matrix())
    return Animation(
        times=face.times - face.times[0],
        rotation=_continuous(turns.as_quat()),
        translation=np.asarray(face.code.translation) @ _GL_FROM_CV,
        weights=shapes.weights,
        view_angle=2 * math.atan(0.5 / FOCAL_IN_CROP_WIDTHS),
    )


def _continuous(quaternions: Float[np.ndarray, "T 4"]) -> Float[np.ndarray, "T 4"]:
    """The same rotations, each with the sign that is nearer to the one before."""
    turned = np.einsum("tc,tc->t", quaternions[1:], quaternions[:-1]) < 0
    signs = np.concatenate([[1.0], np.where(turned, -1.0, 1.0)]).cumprod()
    return quaternions * signs[:, None]
