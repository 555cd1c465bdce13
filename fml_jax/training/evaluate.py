"""How good a network is on faces it was not trained on, measured while it trains."""

import jax
import jax.numpy as jnp
import numpy as np

from fml_jax.codes import FaceCode, code_from_network, unflatten_code
from fml_jax.evaluation.metrics import displacement_error, landmark_error, rotation_error
from fml_jax.face_model.base import BaseModel, geometry
from fml_jax.face_model.landmarks import landmarks68
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.rotation import rotation_matrix


class Evaluator:
    """Errors on fixed validation batches; `photos` and `synthetic` may each be None."""

    def __init__(self, encoder, model: BaseModel, photos: dict | None, synthetic: dict | None):
        self._model, self._photos, self._synthetic = model, photos, synthetic
        self._network = jax.jit(lambda params, crops: encoder.apply({"params": params}, crops.astype(jnp.float32) / 255))
        self._project = jax.jit(jax.vmap(lambda code: projected68(model, code)))

    def __call__(self, params: dict) -> dict[str, float]:
        """Means over the batches, under the names that the metrics file has."""
        values = {}
        if self._photos is not None:
            codes, _ = self._codes(params, self._photos)
            values["photos/landmark_error"] = _mean_landmark_error(self._project(codes), self._photos["landmarks"])
        if self._synthetic is not None:
            codes, _ = self._codes(params, self._synthetic)
            values |= synthetic_errors(self._model, codes, unflatten_code(self._synthetic["code"], *self._model.code_sizes))
        return values

    def _codes(self, params, batch):
        raw, logits = self._network(params, batch["crop"])
        return code_from_network(raw, *self._model.code_sizes), logits


def projected68(model: BaseModel, code: FaceCode):
    """The 68 landmarks of a code in pixels of its crop, [68, 2]."""
    vertices = geometry(model, code.identity, code.expression)
    points = landmarks68(model.landmarks, vertices, rotation_matrix(code.rotation))
    return project(to_camera(points, code.rotation, code.translation))


def synthetic_errors(model: BaseModel, codes: FaceCode, true: FaceCode) -> dict[str, float]:
    """Pose in degrees; identity, expression and reflectance as ratios to what the mean face scores."""
    face = np.asarray(model.regions["face"])
    turned = jax.vmap(rotation_matrix)
    angles = [rotation_error(*pair) for pair in zip(np.asarray(turned(codes.rotation)), np.asarray(turned(true.rotation)))]
    values = {"synthetic/pose_degrees": float(np.mean(angles))}
    for part in ("identity", "expression", "reflectance"):
        modes = np.asarray(getattr(model, part))[:, face]
        found, truth = np.asarray(getattr(codes, part)), np.asarray(getattr(true, part))
        error, mean_face = (
            np.mean([displacement_error(modes, *pair) for pair in zip(guess, truth)]) for guess in (found, 0 * truth)
        )
        values[f"synthetic/{part}_ratio"] = float(error / mean_face)
    return values


def _mean_landmark_error(found, reference) -> float:
    return float(np.mean([landmark_error(*pair) for pair in zip(np.asarray(found), reference)]))
