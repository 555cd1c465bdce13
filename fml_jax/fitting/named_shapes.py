"""An expression code in terms of named shapes: how far each of ARKit's shapes is activated."""

from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.files import load_arkit_codes, load_face_model
from fml_jax.ops.arrays import Array

# mm²: what a fully activated shape must explain of the mean squared displacement. Without it, shapes that nearly
# cancel each other (jawOpen and mouthClose) would be activated together.
_LEAST_GAIN = 0.002


class NamedShapes(NamedTuple):
    """Named expression shapes of a face model, and what solving for their weights needs."""

    names: tuple[str, ...]
    codes: np.ndarray  # [K, m_e] of each shape at full strength, standard deviations
    factor: np.ndarray  # [m_e, m_e]; ‖factor @ code‖² is the face's mean squared displacement by a code, mm²
    solved: dict[bytes, np.ndarray]  # the last expression's weights, for which each of a face's files asks

    def weights(self, expression: Float[Array, "m_e"]) -> Float[np.ndarray, "K"]:
        """Weights in [0, 1] whose shapes together come nearest to an expression, as displacements of the face."""
        import scipy.optimize  # takes a sixth of a second, while `writers.prepare` waits for the first face

        wanted = np.asarray(expression, np.float64)
        weights = self.solved.get(wanted.tobytes())
        if weights is None:
            ridge = np.sqrt(_LEAST_GAIN) * np.eye(len(self.names))
            system = np.concatenate([self.factor @ self.codes.T, ridge])
            target = np.concatenate([self.factor @ wanted, np.zeros(len(self.names))])
            weights = np.clip(scipy.optimize.lsq_linear(system, target, (0, 1), method="bvls").x, 0, 1)
            self.solved.clear()
            self.solved[wanted.tobytes()] = weights
        return weights.copy()


_shapes: dict[tuple[str, int], NamedShapes] = {}


def named_shapes(model: BaseModel) -> NamedShapes | None:
    """The named shapes of a face model with the open model's expression modes, or of the file that it was read from.

    None for any other.
    """
    key = (model.name, model.vertex_count)
    open_model = load_face_model().name
    if not model.file and model.name != open_model and not model.name.startswith(f"{open_model}, "):
        return None
    if key not in _shapes:
        codes = load_arkit_codes(model.file or None)
        if not codes:
            return None
        _shapes[key] = NamedShapes(
            tuple(codes), np.stack(list(codes.values())).astype(np.float64), _displacement_factor(model), {}
        )
    return _shapes[key]


def _displacement_factor(model: BaseModel) -> np.ndarray:
    face = np.asarray(model.regions["face"])
    modes = np.asarray(model.expression, np.float64)[:, face].reshape(len(model.expression), -1)
    gram = modes @ modes.T / face.sum()
    return scipy.linalg.cholesky(gram + 1e-9 * np.trace(gram) * np.eye(len(gram)))
