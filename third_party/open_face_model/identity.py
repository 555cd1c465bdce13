"""Identity modes: heads sampled over sex, age, origin, weight and opposing targets, and their principal components."""

from dataclasses import dataclass

import numpy as np

from fml_jax.face_model.surfaces import procrustes
from third_party.open_face_model.head_mesh import EYE, LINING, MM_PER_UNIT, BaseMesh, HeadMesh, straighten_neck
from third_party.open_face_model.inputs import GeometryPackage
from third_party.open_face_model.principal_components import principal_modes

# Standard deviation of each category's target weights; targets are drawn by their artists for
# weights between −1 and 1.
SPREAD = {
    "head": 0.11,
    "forehead": 0.17,
    "eyebrows": 0.28,
    "eyes": 0.28,
    "nose": 0.27,
    "mouth": 0.28,
    "cheek": 0.32,
    "chin": 0.29,
    "ears": 0.25,
    "neck": 0.15,
    "asym": 0.12,
}
ORIGINS = ("caucasian", "african", "asian")
AGES = ("child", "young", "old")
OPPOSITES = {
    "decr": "incr",
    "down": "up",
    "in": "out",
    "backward": "forward",
    "concave": "convex",
    "compress": "uncompress",
}
LEFT_RIGHT_CORRELATION = 0.93
BACK_WEIGHT = 0.2  # of the vertices outside the frontal face, in the principal components


@dataclass(frozen=True)
class IdentityModes:
    """The mean head and its modes, in model space (mm)."""

    mean: np.ndarray  # [Nc, 3]
    modes: np.ndarray  # [80, Nc, 3], times their standard deviations
    sigma: np.ndarray  # [80] mm
    variance_explained: float


def build_identity(
    package: GeometryPackage, base: BaseMesh, mesh: HeadMesh, ears: np.ndarray, samples: int, count: int = 80
) -> IdentityModes:
    """Samples heads, aligns them and takes their principal components.

    Args:
      ears: [Nc] weights from 0 to 1; the origin is the ears' midpoint.
    """
    heads = sample_heads(package, base, mesh, samples)
    frontal = frontal_face(mesh, heads.mean(0))
    mean = align_by_similarity(heads, frontal)
    mean -= ears @ mean / ears.sum() * [0, 1, 1]
    weights = np.where(frontal | mesh.vertices_of(EYE), 1.0, BACK_WEIGHT)[:, None]
    modes, sigma, explained = principal_modes((heads - heads.mean(0)) * weights, count)
    return IdentityModes(mean, modes / weights, sigma, explained)


def frontal_face(mesh: HeadMesh, vertices: np.ndarray) -> np.ndarray:
    """[Nc] bool: the skin in front of the ears and above the throat (millimetres, before centring)."""
    depth = vertices[:, 2] - vertices[:, 2].max()
    height = vertices[:, 1] - vertices[:, 1].max()
    return (depth > -95) & (height > -225) & ~mesh.vertices_of(EYE) & ~mesh.vertices_of(LINING)


def sample_heads(package: GeometryPackage, base: BaseMesh, mesh: HeadMesh, samples: int) -> np.ndarray:
    """[S, Nc, 3] mm: random heads, unaligned."""
    rng = np.random.default_rng(20180618)
    count = len(base.vertices)
    average = straighten_neck(mesh, mesh.operator @ base.vertices)
    macro_names, macro_weights = _sample_macros(rng, samples)
    macros = np.stack([displacements(mesh, count, package.target("macrodetails", name)) for name in macro_names])
    pairs = opposing_pairs(package)
    sides = ((category, name) for category, first, second in pairs for name in (first, second))
    details = np.stack([_side(package, mesh, count, category, name) for category, name in sides])
    detail_weights = _sample_details(rng, pairs, samples)
    shifts = np.concatenate([macros, details]).reshape(len(macros) + len(details), -1).astype(np.float32)
    weights = np.concatenate([macro_weights, detail_weights], axis=1).astype(np.float32)
    heads = (weights @ shifts).reshape(samples, -1, 3)
    heads += average.astype(np.float32)
    heads *= MM_PER_UNIT
    return heads


def displacements(mesh: HeadMesh, vertex_count: int, target: np.ndarray) -> np.ndarray:
    """A target on the control mesh: [Nc, 3] decimetres."""
    full = np.zeros((vertex_count, 3))
    full[target[:, 0].astype(int)] = target[:, 1:]
    return mesh.operator @ full


def _side(package, mesh, count, category, name):
    return displacements(mesh, count, package.target(category, name)) if name else np.zeros((mesh.operator.shape[0], 3))


def opposing_pairs(package: GeometryPackage) -> list[tuple[str, str, str | None]]:
    """(category, target, its opposite or None) for every target of the head but rigid moves and pointed ears."""
    pairs = []
    for category in SPREAD:
        names = [name for name in package.target_names(category) if not _is_left_out(category, name)]
        seconds = set()
        for name in names:
            opposite = _opposite(category, name, names)
            if name not in seconds:
                pairs.append((category, name, opposite))
                seconds.add(opposite)
    return pairs


def _is_left_out(category, name):
    moves_rigidly = category in ("head", "neck") and "trans" in name
    return moves_rigidly or "pointed" in name or "breast" in name or "trunk" in name


def _opposite(category, name, names):
    stem, _, ending = name.rpartition("-")
    endings = {"l": "r"} if category == "asym" else OPPOSITES
    opposite = f"{stem}-{endings.get(ending)}"
    return opposite if opposite in names else None


def _sample_details(rng, pairs, samples):
    """[S, 2P] weights of each pair's two targets, of which at most one is above zero."""
    spread = np.array([SPREAD[category] for category, _, _ in pairs])
    weights = rng.normal(0, spread, (samples, len(pairs)))
    number = {name: k for k, (_, name, _) in enumerate(pairs)}
    across = np.sqrt(1 - LEFT_RIGHT_CORRELATION**2)
    for left, k in number.items():
        right = number.get("r" + left[1:]) if left.startswith("l-") else None
        if right is not None:
            weights[:, right] = LEFT_RIGHT_CORRELATION * weights[:, k] + across * weights[:, right]
    weights = np.clip(weights, -1, 1)
    one_sided = np.array([second is None for _, _, second in pairs])
    first = np.where(one_sided, np.abs(weights), np.maximum(weights, 0))
    return np.stack([first, np.maximum(-weights, 0)], axis=-1).reshape(samples, -1)


def _sample_macros(rng, samples):
    """The names of the whole-body targets, and [S, K] weights: sex × age × origin, and sex × age × muscle × weight."""
    male = rng.beta(0.5, 0.5, samples)
    sexes = {"male": male, "female": 1 - male}
    old = 0.8 * rng.beta(1.0, 2.2, samples)
    is_child = rng.random(samples) < 0.06
    child = np.where(is_child, rng.uniform(0, 0.5, samples), 0)
    old = np.where(is_child, 0, old)
    ages = {"child": child, "young": 1 - old - child, "old": old}
    origins = dict(zip(ORIGINS, rng.dirichlet([0.5] * 3, samples).T, strict=True))
    muscle = _levels(rng.normal(0.5, 0.15, samples), ("minmuscle", "averagemuscle", "maxmuscle"))
    weight = _levels(rng.normal(0.52, 0.19, samples), ("minweight", "averageweight", "maxweight"))
    names, weights = [], []
    for sex, sex_weight in sexes.items():
        for age, age_weight in ages.items():
            for origin, origin_weight in origins.items():
                names.append(f"{origin}-{sex}-{age}")
                weights.append(sex_weight * age_weight * origin_weight)
            for muscle_name, muscle_weight in muscle.items():
                for weight_name, weight_weight in weight.items():
                    names.append(f"universal-{sex}-{age}-{muscle_name}-{weight_name}")
                    weights.append(sex_weight * age_weight * muscle_weight * weight_weight)
    return names, np.stack(weights, axis=1)


def _levels(value, names):
    """Piecewise linear weights of three targets at 0, 1/2 and 1."""
    value = np.clip(value, 0, 1)
    low, high = np.maximum(0, 1 - 2 * value), np.maximum(0, 2 * value - 1)
    return dict(zip(names, (low, 1 - low - high, high), strict=True))


def align_by_similarity(heads: np.ndarray, landmarks: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Moves, turns and scales each head in place to fit the mean on the vertices `landmarks`; returns the mean [Nc, 3].

    Size goes with the alignment: one photo cannot show it, so no mode is spent on it. The mean
    keeps the average size.
    """
    mean = heads.mean(0, dtype=np.float64)
    for _ in range(rounds):
        target = mean[landmarks]
        target_centre = target.mean(0)
        for head in heads:
            points = head[landmarks].astype(np.float64)
            scale, rotation, centre = procrustes(points, target)
            head[:] = scale * (head - centre) @ rotation.T + target_centre
        mean = heads.mean(0, dtype=np.float64)
    return mean
