"""Errors of codes where the true codes are known."""

import jax
import numpy as np

from fml_jax.codes import FaceCode
from fml_jax.evaluation.metrics import displacement_error, rotation_error
from fml_jax.face_model.base import BaseModel
from fml_jax.image_formation.rotation import rotation_matrix


def code_errors(model: BaseModel, codes: FaceCode, true: FaceCode) -> dict[str, float]:
    """Pose in degrees; identity, expression and reflectance as ratios to the errors of the mean face.

    Args:
      codes, true: with the leading axis B.
    """
    face = np.asarray(model.regions["face"])
    to_matrices = jax.vmap(rotation_matrix)
    rotations = zip(np.asarray(to_matrices(codes.rotation)), np.asarray(to_matrices(true.rotation)), strict=True)
    values = {"pose_degrees": float(np.mean([rotation_error(*pair) for pair in rotations]))}
    for part in ("identity", "expression", "reflectance"):
        modes = np.asarray(getattr(model, part))[:, face]
        found, truth = np.asarray(getattr(codes, part)), np.asarray(getattr(true, part))
        error, mean_face = (
            np.mean([displacement_error(modes, *pair) for pair in zip(guess, truth, strict=True)])
            for guess in (found, 0 * truth)
        )
        values[f"{part}_ratio"] = float(error / mean_face)
    return values
