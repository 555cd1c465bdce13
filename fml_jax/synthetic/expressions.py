"""Expressions of synthetic faces: a few named units of the face at once, as faces move, said in the model's modes.

Independent draws of all modes are no expressions: a smile is twenty standard deviations long, but
along one direction of 64. A network that has only seen such draws does not know a smile.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.files import load_arkit_shapes

_AT_REST = 0.1  # share of faces without expression
_OF_ALL_MODES = 0.15  # share with every mode drawn by itself: what units do not reach
_SMILING = 0.4  # of the other faces; photos show more smiles than anything else
_TALKING = 0.3
_BLINKING = 0.06
_BOTH_SIDES = 0.85  # how often the other side of a face joins in
_SPREAD = 0.15  # standard deviations of every mode on top of the units


@dataclass(frozen=True)
class ExpressionUnits:
    """ARKit's named shapes in the coordinates of a model's expression modes."""

    names: tuple[str, ...]
    codes: Float[np.ndarray, "U 64"]  # of each unit at full strength, standard deviations

    def sample(self, rng: np.random.Generator) -> Float[np.ndarray, "64"]:
        """A random expression's code δ, standard deviations."""
        modes = self.codes.shape[1]
        kind = rng.random()
        if kind < _AT_REST:
            return np.zeros(modes)
        if kind < _AT_REST + _OF_ALL_MODES:
            return rng.normal(0, 0.8, modes)
        return self.sample_strengths(rng) @ self.codes + rng.normal(0, _SPREAD, modes)

    def sample_strengths(self, rng: np.random.Generator) -> Float[np.ndarray, "U"]:
        """How far each unit is active, 0 to about 1."""
        strengths = dict.fromkeys(self.names, 0.0)
        for name in rng.choice(self.names, rng.integers(1, 6), replace=False):
            strengths[name] = rng.beta(1.3, 2.0)
            if _mirrored(name) in strengths and rng.random() < _BOTH_SIDES:
                strengths[_mirrored(name)] = strengths[name] * rng.uniform(0.8, 1.2)
        if rng.random() < _SMILING:
            _move(strengths, "mouthSmile", rng.beta(2.5, 1.5), rng)
            _move(strengths, "cheekSquint", 0.5 * strengths["mouthSmileLeft"], rng)
        if rng.random() < _TALKING:
            strengths["jawOpen"] = rng.beta(1.2, 2.5)
        # mouthClose closes the lips of an open jaw and is meaningless without it.
        strengths["mouthClose"] = min(strengths["mouthClose"], strengths["jawOpen"])
        overall = rng.uniform(0.5, 1.1)
        values = {name: overall * value for name, value in strengths.items()}
        if rng.random() < _BLINKING:
            _move(values, "eyeBlink", 1.0, rng)
        return np.array([values[name] for name in self.names])


def expression_units(model: BaseModel) -> ExpressionUnits:
    """The embedded model's named shapes, each as the nearest combination of its modes (millimetres squared, all vertices).

    Args:
      model: the open model at "standard" detail, which the named shapes are drawn on.
    """
    shapes = load_arkit_shapes()
    modes = np.asarray(model.expression).reshape(len(model.expression), -1)
    displacements = np.stack([shape.ravel() for shape in shapes.values()])
    codes = np.linalg.solve(modes @ modes.T, modes @ displacements.T).T
    return ExpressionUnits(tuple(shapes), codes)


def _move(strengths, unit, strength, rng):
    """Both sides alike, but for a tenth."""
    for side in ("Left", "Right"):
        strengths[unit + side] = strength * rng.uniform(0.9, 1.1)


def _mirrored(name):
    """The same unit of the other side, or "" where left and right exclude each other or there is one unit only."""
    if name.startswith(("eyeLook", "jaw")) or name in ("mouthLeft", "mouthRight"):
        return ""
    return name.replace("Left", "Right") if "Left" in name else name.replace("Right", "Left") if "Right" in name else ""
