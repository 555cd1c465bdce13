"""Expression modes of the second edition: ICT-FaceKit's units and MakeHuman's, combined at random as faces do."""

from dataclasses import dataclass

import numpy as np

from third_party.open_face_model.expressions import sample_weights
from third_party.open_face_model.ict_facekit import arkit_combinations

MODES = 64


@dataclass(frozen=True)
class Units:
    """Named displacements of the whole mesh from the face at rest, mm."""

    names: list[str]  # ARKit's spelling, one sided as in ICT-FaceKit; then makehuman-…
    shapes: np.ndarray  # [U, V, 3]

    @property
    def from_ict(self) -> int:
        """How many of them, the first ones, are ICT-FaceKit's."""
        return sum(not name.startswith("makehuman-") for name in self.names)


@dataclass(frozen=True)
class ExpressionModes:
    """Expressions as displacements from the face at rest (mouth closed, eyes open), mm."""

    modes: np.ndarray  # [64, V, 3], times their standard deviations
    combinations: np.ndarray  # [64, U] of the units: the modes are these sums of them
    sigma: np.ndarray  # [64] mm
    arkit_names: list[str]
    arkit_codes: np.ndarray  # [51, 64] of the named shapes
    variance_explained: float  # of the samples


def build_expressions(units: Units, standard: int, count: int = MODES) -> ExpressionModes:
    """The span of ICT-FaceKit's units and the strongest of what MakeHuman's add, as principal directions of samples.

    Args:
      standard: the first vertices of the mesh, which count in the principal components.
    """
    flat = units.shapes[:, :standard].reshape(len(units.shapes), -1)
    basis = _basis(flat, units.from_ict, count)  # [count, U]: combinations of units, orthonormal on the mesh
    weights = sample_weights(units.names)
    # Coordinates of the samples in the basis; the projection drops MakeHuman's weaker directions.
    gram = flat @ flat.T
    coordinates = weights @ gram @ basis.T
    second_moment = coordinates.T @ coordinates / len(weights)
    values, vectors = np.linalg.eigh(second_moment)
    values, vectors = np.maximum(values[::-1], 1e-12), vectors[:, ::-1]
    sigma = np.sqrt(values)
    combinations = (vectors.T @ basis) * sigma[:, None]
    modes = np.tensordot(combinations, units.shapes, 1)
    rows = modes.reshape(count, -1)
    signs = np.sign(np.take_along_axis(rows, np.abs(rows).argmax(1)[:, None], axis=1))
    modes, combinations = modes * signs[:, :, None], combinations * signs
    total = np.einsum("su,uv,sv->", weights, gram, weights) / len(weights)
    named = arkit_combinations(units.names[: units.from_ict])
    targets = np.stack([flat[numbers].sum(0) for numbers in named.values()])
    on_mesh = modes[:, :standard].reshape(count, -1)
    codes = np.linalg.solve(on_mesh @ on_mesh.T, on_mesh @ targets.T).T
    return ExpressionModes(modes, combinations, sigma, list(named), codes, float(values.sum() / total))


def _basis(flat, from_ict, count):
    """[count, U] combinations of units, orthonormal: all of ICT's, then the strongest of MakeHuman's remainders."""
    ict, other = flat[:from_ict], flat[from_ict:]
    values, vectors = np.linalg.eigh(ict @ ict.T)
    first = (vectors / np.sqrt(values)).T
    projection = other @ ict.T @ first.T @ first
    remainder_combinations = np.concatenate([-projection, np.eye(len(other))], axis=1)
    remainders = remainder_combinations @ flat
    values, vectors = np.linalg.eigh(remainders @ remainders.T)
    strongest = slice(len(values) - (count - from_ict), None)
    second = (vectors[:, strongest] / np.sqrt(values[strongest])).T @ remainder_combinations
    return np.concatenate([np.pad(first, ((0, 0), (0, len(other)))), second])
