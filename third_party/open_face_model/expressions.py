"""Expression modes: named face units, combined at random as faces do, and their principal directions from rest."""

from dataclasses import dataclass

import numpy as np

from third_party.open_face_model.head_mesh import EYE, MM_PER_UNIT, BaseMesh, HeadMesh
from third_party.open_face_model.identity import ORIGINS, displacements
from third_party.open_face_model.inputs import GeometryPackage
from third_party.open_face_model.principal_components import principal_modes

LEFT_OUT = ("tongueOut",)  # the model has no tongue
CLOSED_LIDS = 0.74  # of the lid closing units: drawn for wider eyes, they overshoot on the mean head
SAMPLES = 4000
BILATERAL = 0.85  # how often the other side of the face joins in


@dataclass(frozen=True)
class ExpressionModes:
    """Expressions as displacements from the face at rest (mouth closed, eyes open), mm."""

    modes: np.ndarray  # [64, Nc, 3], times their standard deviations
    sigma: np.ndarray  # [64] mm
    unit_names: list[str]  # ARKit's names
    units: np.ndarray  # [51, Nc, 3]
    variance_explained: float


def build_expressions(package: GeometryPackage, base: BaseMesh, mesh: HeadMesh, count: int = 64) -> ExpressionModes:
    """Reads the units, samples expressions, computes their uncentred principal directions: zero is the neutral face."""
    arkit_names = [name for name in package.face_unit_names() if name not in LEFT_OUT]
    arkit = np.stack([displacements(mesh, len(base.vertices), package.face_unit(name)) for name in arkit_names])
    makehuman_names = package.target_names(f"expression/units/{ORIGINS[0]}")
    makehuman = np.stack([average_unit(package, base, mesh, name) for name in makehuman_names])
    units = np.concatenate([arkit, makehuman]) * MM_PER_UNIT
    closing = np.array(["eyeBlink" in name or "closure" in name for name in arkit_names + makehuman_names])
    units[closing] *= CLOSED_LIDS
    units[:, mesh.vertices_of(EYE)] = 0  # a gaze moves the lids here; the eyeballs stay
    weights = sample_weights(arkit_names + [f"makehuman-{name}" for name in makehuman_names])
    # All samples lie in the units' span: the same components, found in an orthonormal basis of it.
    left, singular, basis = np.linalg.svd(units.reshape(len(units), -1), full_matrices=False)
    coordinates, sigma, explained = principal_modes((weights @ (left * singular))[..., None], count)
    modes = (coordinates[..., 0] @ basis).reshape(count, -1, 3)
    return ExpressionModes(modes, sigma, arkit_names, units[: len(arkit_names)], explained)


def average_unit(package, base, mesh, name):
    """MakeHuman draws each unit for three origins; one model of all people takes their average."""
    targets = (package.target(f"expression/units/{origin}", name) for origin in ORIGINS)
    return np.mean([displacements(mesh, len(base.vertices), target) for target in targets], axis=0)


def sample_weights(names: list[str]) -> np.ndarray:
    """[SAMPLES, U] unit weights of plausible expressions: a few units at once, mostly on both sides."""
    rng = np.random.default_rng(468)
    number = {name: k for k, name in enumerate(names)}
    mirrors = np.array([number.get(_mirrored(name), -1) for name in names])
    weights = np.zeros((SAMPLES, len(names)))
    for row in weights:
        for unit in rng.choice(len(names), rng.integers(2, 8), replace=False):
            row[unit] = rng.beta(1.3, 2.0) * (0.7 if names[unit].startswith("makehuman") else 1.0)
            if mirrors[unit] >= 0 and rng.random() < BILATERAL:
                row[mirrors[unit]] = row[unit] * rng.uniform(0.8, 1.2)
        if rng.random() < 0.25:
            row[number["jawOpen"]] = rng.beta(1.2, 2.5)
        # mouthClose closes the lips of an open jaw and is meaningless without it.
        row[number["mouthClose"]] = min(row[number["mouthClose"]], row[number["jawOpen"]])
        row *= rng.uniform(0.4, 1.0)
    return weights


def _mirrored(name):
    """The same unit of the other side, or "" where left and right exclude each other."""
    if name.startswith(("eyeLook", "jaw")) or name in ("mouthLeft", "mouthRight"):
        return ""
    for here, there in (("Left", "Right"), ("Right", "Left"), ("-left-", "-right-"), ("-right-", "-left-")):
        if here in name:
            return name.replace(here, there)
    return ""
