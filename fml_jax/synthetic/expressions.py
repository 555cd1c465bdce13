"""Random expressions of synthetic faces: a few of ARKit's units at once, expressed in the model's modes.

Independent draws of all modes are no plausible expressions: a smile is twenty standard deviations long, in one
direction of 64. A network trained on such draws alone has seen no smile.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.files import load_arkit_codes, load_arkit_shapes

_AT_REST = 0.1  # share of faces without expression
_OF_ALL_MODES = 0.15  # share with independent modes, which include what units do not reach
_SMILING = 0.4  # of the other faces; smiles are the most frequent expression in photos
_TALKING = 0.3  # of the other faces
_BLINKING = 0.06  # of the other faces
_LOOKING_ASIDE = 0.5  # of the other faces
_GAZE = (0.35, 0.25)  # standard deviations of its horizontal and vertical strength
_BOTH_SIDES = 0.85  # probability that a unit is active on both sides of the face
_SPREAD = 0.15  # standard deviation that every mode has in addition to the units


@dataclass(frozen=True)
class ExpressionUnits:
    """ARKit's named shapes as codes of a model's expression modes."""

    names: tuple[str, ...]
    codes: Float[np.ndarray, "U modes"]  # of each unit at full strength, standard deviations

    def sample(self, rng: np.random.Generator) -> Float[np.ndarray, "modes"]:
        """The code of a random expression, standard deviations."""
        modes = self.codes.shape[1]
        kind = rng.random()
        if kind < _AT_REST:
            return np.zeros(modes)
        if kind < _AT_REST + _OF_ALL_MODES:
            return rng.normal(0, 0.8, (modes,))
        return self.sample_strengths(rng) @ self.codes + rng.normal(0, _SPREAD, (modes,))

    def sample_strengths(self, rng: np.random.Generator) -> Float[np.ndarray, "U"]:
        """The strength of each unit in a random expression, 0 to about 1."""
        strengths = dict.fromkeys(self.names, 0.0)
        others = [name for name in self.names if not name.startswith("eyeLook")]
        for name in rng.choice(others, rng.integers(1, 6), replace=False):
            strengths[name] = rng.beta(1.3, 2.0)
            if _mirrored(name) in strengths and rng.random() < _BOTH_SIDES:
                strengths[_mirrored(name)] = strengths[name] * rng.uniform(0.8, 1.2)
        if rng.random() < _SMILING:
            _move(strengths, "mouthSmile", rng.beta(2.5, 1.5), rng)
            _move(strengths, "cheekSquint", 0.5 * strengths["mouthSmileLeft"], rng)
        if rng.random() < _TALKING:
            strengths["jawOpen"] = rng.beta(1.2, 2.5)
        # mouthClose closes the lips of an open jaw; without an open jaw it has no meaning.
        strengths["mouthClose"] = min(strengths["mouthClose"], strengths["jawOpen"])
        overall = rng.uniform(0.5, 1.1)
        values = {name: overall * value for name, value in strengths.items()}
        if rng.random() < _LOOKING_ASIDE:
            _look(values, *np.clip(rng.normal(0, _GAZE), -0.9, 0.9))
        if rng.random() < _BLINKING:
            _move(values, "eyeBlink", 1.0, rng)
        return np.array([values[name] for name in self.names])


def expression_units(model: BaseModel) -> ExpressionUnits:
    """The open model's named shapes, each as the least-squares combination of its modes over all vertices.

    Shapes that another model lacks do nothing.

    Args:
      model: at "standard" detail, whose vertices the named shapes have.
    """
    if model.file:
        own = load_arkit_codes(model.file)
        names = tuple(load_arkit_codes())
        nothing = np.zeros(len(model.expression), np.float32)
        return ExpressionUnits(names, np.stack([own.get(name, nothing) for name in names]))
    shapes = load_arkit_shapes()
    modes = np.asarray(model.expression).reshape(len(model.expression), -1)
    displacements = np.stack([shape.ravel() for shape in shapes.values()])
    codes = np.linalg.solve(modes @ modes.T, modes @ displacements.T).T
    return ExpressionUnits(tuple(shapes), codes)


def _move(strengths, unit, strength, rng):
    """Sets both sides of a unit to a strength, up to a random difference of a tenth."""
    for side in ("Left", "Right"):
        strengths[unit + side] = strength * rng.uniform(0.9, 1.1)


def _look(strengths, leftwards, upwards):
    """Turns both eyes in one direction: to the subject's left and up, by shares of the units' full strength."""
    outer, inner = ("Left", "Right") if leftwards > 0 else ("Right", "Left")
    strengths[f"eyeLookOut{outer}"] = strengths[f"eyeLookIn{inner}"] = abs(leftwards)
    for side in ("Left", "Right"):
        strengths[f"eyeLook{'Up' if upwards > 0 else 'Down'}{side}"] = abs(upwards)


def _mirrored(name):
    """The unit of the other side, or "" if left and right exclude each other or there is only one unit."""
    if name.startswith("jaw") or name in ("mouthLeft", "mouthRight"):
        return ""
    return name.replace("Left", "Right") if "Left" in name else name.replace("Right", "Left") if "Right" in name else ""
