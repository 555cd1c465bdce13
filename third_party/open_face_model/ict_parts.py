"""Teeth, gums and tongue, the mouth's lining and lashes: further parts that follow the codes of the standard mesh."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from scipy.spatial import cKDTree

from fml_jax.face_model.integer_modes import quantised
from third_party.open_face_model.ict_expressions import ExpressionModes
from third_party.open_face_model.ict_facekit import GUMS_AND_TONGUE, LASHES, MOUTH_SOCKET, TEETH, FaceKit
from third_party.open_face_model.identity import IdentityModes
from third_party.open_face_model.openings import LID_MARGIN_RING, Openings

# name → the source's vertices and the colour, sRGB
PARTS = {
    "teeth": (TEETH, (0.80, 0.75, 0.67)),
    "gums_and_tongue": (GUMS_AND_TONGUE, (0.58, 0.31, 0.30)),
    "mouth_lining": (MOUTH_SOCKET, (0.36, 0.13, 0.12)),
    "lashes": (LASHES, (0.07, 0.05, 0.045)),
}
ERROR = 0.02  # mm, of the stored modes
NEIGHBOURS = 4  # vertices of the standard mesh that a bound vertex follows
FADING = 12.0  # mm behind the lips over which the lining stops following their repairs
COLOUR_OF_DEPTH = 0.35  # of linings, gums and tongue at the deepest
LASH_LENGTH = 0.3  # of the source's


@dataclass(frozen=True)
class Binding:
    """How vertices of the parts follow what the source has no displacement of: [P, N] each."""

    identity: sparse.csr_matrix
    expression: sparse.csr_matrix


def bind(neutral_parts: np.ndarray, starts: dict[str, slice], neutral: np.ndarray, openings: Openings) -> Binding:
    """Lashes follow the lids and the lining the lips; in identity, teeth, gums and tongue follow the mouth as a whole.

    Args:
      neutral_parts: [P, 3] mm.
      starts: name → its rows of it.
      neutral: [N, 3] the standard mesh.
    """
    lids = np.unique(np.concatenate([eye.grid[LID_MARGIN_RING : LID_MARGIN_RING + 2].ravel() for eye in openings.eyes]))
    lips = np.unique(openings.mouth.grid[0])
    count, total = len(neutral), len(neutral_parts)
    whole = sparse.csr_matrix((np.full(len(lips), 1 / len(lips)), (np.zeros(len(lips), int), lips)), (1, count))
    rows_identity, rows_expression = [], []
    for name, rows in starts.items():
        points = neutral_parts[rows]
        if name in ("lashes", "mouth_lining"):
            near, distance = _nearest(points, neutral, lids if name == "lashes" else lips)
            rows_identity.append(near)
            fading = np.exp(-distance / FADING) if name == "mouth_lining" else np.ones(len(points))
            rows_expression.append(sparse.diags(fading) @ near)
        else:
            rows_identity.append(sparse.vstack([whole] * len(points)))
            rows_expression.append(sparse.csr_matrix((len(points), count)))
    identity, expression = (sparse.vstack(rows, format="csr") for rows in (rows_identity, rows_expression))
    assert identity.shape == (total, count)
    return Binding(identity, expression)


def _nearest(points, neutral, anchors):
    """Weights [P, N] of the nearest anchors by inverse distance, and the least distance [P]."""
    distance, nearest = cKDTree(neutral[anchors]).query(points, NEIGHBOURS)
    weights = 1 / (distance + 0.1)
    weights /= weights.sum(1, keepdims=True)
    rows = np.repeat(np.arange(len(points)), NEIGHBOURS)
    shape = (len(points), len(neutral))
    return sparse.csr_matrix((weights.ravel(), (rows, anchors[nearest].ravel())), shape), distance[:, 0]


def part_arrays(
    kit: FaceKit,
    operator: sparse.csr_matrix,
    openings: Openings,
    identity: IdentityModes,
    expression: ExpressionModes,
    *,
    raw_units: np.ndarray,
    repaired_units: np.ndarray,
    makehuman: np.ndarray,
) -> dict[str, np.ndarray]:
    """The model file's arrays of the parts.

    Args:
      operator: [N, V] from the source's vertices to the standard mesh.
      identity: of the standard mesh, centred.
      expression: of the standard mesh, with its combinations of units.
      raw_units, repaired_units: [U, N, 3] the units as they came, ICT-FaceKit's first, and as they went into the modes.
      makehuman: [K, N, 3] MakeHuman's part of the identities.
    """
    starts, first = {}, 0
    for name, (vertices, _) in PARTS.items():
        starts[name] = slice(first, first + vertices.stop - vertices.start)
        first = starts[name].stop
    numbers = np.concatenate([np.arange(vertices.start, vertices.stop) for vertices, _ in PARTS.values()])
    neutral = operator @ kit.neutral
    parts = kit.neutral[numbers]
    binding = bind(parts, starts, neutral, openings)
    ict = np.stack([operator @ mode for mode in kit.identity.astype(float)])
    ict_parts = kit.identity[:, numbers].astype(float)
    bound = np.stack([binding.identity @ mode for mode in makehuman])
    both = np.concatenate([ict, makehuman, _similarities(neutral)])
    both_parts = np.concatenate([ict_parts, bound, _similarities(parts)])
    modes = _carried(identity.modes.astype(float), both, both_parts)
    mean = parts + _carried((identity.mean - neutral)[None], both, both_parts)[0]
    _, unit_shapes = kit.units()
    unit_parts = np.zeros((len(raw_units), len(parts), 3))
    unit_parts[: len(unit_shapes)] = unit_shapes[:, numbers]
    repairs = repaired_units - raw_units
    repairs[len(unit_shapes) :] = repaired_units[len(unit_shapes) :]
    unit_parts += np.stack([binding.expression @ repair for repair in repairs])
    expression_modes = np.tensordot(expression.combinations, unit_parts, 1)
    # The source's lashes are broad ribbons for a transparent texture: they become lines along the lids.
    lashes, kept = starts["lashes"], LASH_LENGTH
    roots = binding.identity[lashes]
    mean[lashes] = kept * mean[lashes] + (1 - kept) * (roots @ identity.mean)
    for of_parts, of_mesh in ((modes, identity.modes), (expression_modes, expression.modes)):
        of_parts[:, lashes] = kept * of_parts[:, lashes] + (1 - kept) * np.stack([roots @ mode for mode in of_mesh])
    integers = {"identity": quantised(modes, ERROR), "expression": quantised(expression_modes, ERROR)}
    return {
        "part_names": np.array(list(PARTS)),
        "part_of_vertex": np.concatenate(
            [np.full(rows.stop - rows.start, number, np.uint8) for number, rows in enumerate(starts.values())]
        ),
        "part_mean": mean.astype(np.float32),
        **{f"part_{name}": values for name, (values, _) in integers.items()},
        **{f"part_{name}_steps": steps for name, (_, steps) in integers.items()},
        "part_triangles": _triangles(kit.quads, numbers).astype(np.uint16),
        "part_reflectance": _colours(parts, starts).astype(np.float16),
    }


def _similarities(points):
    """[7, N, 3]: small moves, turns and growth of points."""
    moves = [np.broadcast_to(axis, points.shape) for axis in np.eye(3)]
    turns = [np.cross(axis, points) / 100 for axis in np.eye(3)]
    return np.stack([*moves, *turns, points / 100])


def _carried(displacements, basis, basis_parts):
    """[K, P, 3]: displacements of the standard mesh [K, N, 3], written in a basis and carried to the parts."""
    flat = basis.reshape(len(basis), -1)
    gram = flat @ flat.T
    ridge = 1e-6 * np.trace(gram) / len(gram) * np.eye(len(gram))
    weights = np.linalg.solve(gram + ridge, flat @ displacements.reshape(len(displacements), -1).T).T
    return np.tensordot(weights, basis_parts, 1)


def _triangles(quads, numbers):
    """[T, 3] triangles of the parts, in their own numbering."""
    renumbered = np.full(quads.max() + 2, -1)
    renumbered[numbers] = np.arange(len(numbers))
    own = np.where(quads >= 0, renumbered[quads], -2)
    three, four = own[(own[:, :3] >= 0).all(1) & (own[:, 3] == -2)], own[(own >= 0).all(1)]
    return np.concatenate([four[:, [0, 1, 2]], four[:, [0, 2, 3]], three[:, :3]])


def _colours(parts, starts):
    """[P, 3] sRGB: the parts' colours, darker the deeper they lie in the mouth."""
    colours = np.concatenate(
        [
            np.tile(colour, (rows.stop - rows.start, 1))
            for (_, colour), rows in zip(PARTS.values(), starts.values(), strict=True)
        ]
    )
    for name in ("mouth_lining", "gums_and_tongue"):
        depth = parts[starts[name], 2]
        deep = np.clip((depth.max() - depth) / 40, 0, 1)[:, None]
        colours[starts[name]] *= 1 - (1 - COLOUR_OF_DEPTH) * deep
    return colours
