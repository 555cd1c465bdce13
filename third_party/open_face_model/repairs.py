"""Faults of the source's mouth and eyes, repaired on the new mesh: gaps, lips and lids that cross, gaze."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from third_party.open_face_model.contact import Margins, Pair
from third_party.open_face_model.ict_expressions import Units
from third_party.open_face_model.ict_facekit import HEAD
from third_party.open_face_model.openings import CONTACT_RING, LID_MARGIN_RING, Opening, Openings

REGION = 24  # edges from an opening: how far repairs may spread
DECAY = 0.03  # 1/√ of it: over how many edges a repair fades
LOOK = {"Up": 25.0, "Down": 28.0, "In": 32.0, "Out": 32.0}  # degrees that an eyeball turns for a full gaze unit
BLINK_CLEARANCE = 0.25  # mm that closed lids stand off the eyeball
# mm that an eyeball moves back under closing lids, whose way to their meeting is a chord across it.
BLINK_RETRACTION = 1.2
TOLERANCE = 0.1  # mm of penetration that is left alone
SETTLING = 12  # steps in which overlaps are resolved
COMBINATIONS, ROUNDS = 400, 4
IDENTITIES = 1000  # random faces on which identity is repaired


@dataclass(frozen=True)
class Spreader:
    """Carries displacements of single vertices smoothly on to the skin around."""

    region: np.ndarray  # [K] vertices
    laplacian: sparse.csr_matrix  # [K, K]
    count: int

    def __call__(self, vertices: np.ndarray, displacements: np.ndarray) -> np.ndarray:
        """[N, 3]: equal to the displacements [P, 3] at `vertices` [P], fading around them."""
        rows = np.searchsorted(self.region, vertices)
        weight = np.zeros(len(self.region))
        weight[rows] = 100.0
        goal = np.zeros((len(self.region), 3))
        goal[rows] = 100.0 * displacements
        matrix = self.laplacian + sparse.diags(weight + DECAY)
        spread = np.zeros((self.count, 3))
        spread[self.region] = splu(matrix.tocsc()).solve(goal)
        return spread


def make_spreader(adjacency: sparse.csr_matrix, openings: Openings) -> Spreader:
    """For repairs around the mouth and the eyes."""
    reached = np.zeros(adjacency.shape[0])
    for opening in (openings.mouth, *openings.eyes):
        reached[opening.grid[0]] = 1
    for _ in range(REGION):
        reached = ((adjacency @ reached + reached) > 0).astype(float)
    region = np.flatnonzero(reached)
    inner = adjacency[region][:, region]
    laplacian = sparse.diags(np.asarray(inner.sum(1)).ravel()) - inner
    return Spreader(region, laplacian.tocsr(), len(reached))


def closed_lips(neutral: np.ndarray, mouth: Opening, pairs: list[Pair | Margins], spread: Spreader) -> np.ndarray:
    """[N, 3]: the neutral face with lips that touch along their whole length."""
    closed = neutral + _closing(neutral, mouth, spread)
    for _ in range(SETTLING):
        shift = way_out(closed, pairs, spread, tolerance=TOLERANCE / 2)
        if shift is None:
            break
        closed = closed + shift
    return closed


def _closing(neutral, mouth, spread):
    """[N, 3]: what moves each column of the upper lip and the one below it together by their least distance."""
    rings = slice(CONTACT_RING - 2, CONTACT_RING + 2)
    upper, lower = neutral[mouth.grid[rings][:, mouth.upper]], neutral[mouth.grid[rings][:, mouth.lower]]
    gap = (upper[..., 1] - lower[..., 1]).min(0)
    gap = np.convolve(np.pad(np.maximum(gap, 0), 2, mode="edge"), [0.1, 0.2, 0.4, 0.2, 0.1], mode="valid")
    moved, shifts = [], []
    held = slice(0, CONTACT_RING + 2)
    for columns, sign in ((mouth.upper, -0.5), (mouth.lower, 0.5)):
        vertices = mouth.grid[held][:, columns]
        moved.append(vertices.ravel())
        shifts.append(np.broadcast_to(np.stack([0 * gap, sign * gap, 0 * gap], 1), (*vertices.shape, 3)).reshape(-1, 3))
    return spread(np.concatenate(moved), np.concatenate(shifts))


def repaired_units(
    units: Units, neutral: np.ndarray, openings: Openings, eyeballs: list[np.ndarray], *, spread: Spreader
) -> Units:
    """Gaze turns the eyeballs; a blink closes the lids; mouthClose closes an open jaw's lips, and no more."""
    shapes = units.shapes.copy()
    number = {name: k for k, name in enumerate(units.names)}
    for side, (ball, eye) in enumerate(zip(eyeballs, openings.eyes, strict=True)):
        name = ("Left", "Right")[side]
        shapes[:, ball] = 0
        for direction, degrees in LOOK.items():
            rotation = _gaze_rotation(direction, np.radians(degrees), outwards=1 - 2 * side)
            centre = eyeball_centre(neutral[ball])
            shapes[number[f"eyeLook{direction}{name}"], ball] = (neutral[ball] - centre) @ (rotation.T - np.eye(3))
        blink = number[f"eyeBlink{name}"]
        shapes[blink, ball] = [0, 0, -BLINK_RETRACTION]
        shapes[blink] += _closed_lids(neutral + shapes[blink], eye, eyeball_centre(neutral[ball]), spread)
    jaw, close = number["jawOpen"], number["mouthClose"]
    shapes[close] += _meeting_lips(shapes[jaw] + shapes[close], openings.mouth, spread)
    return Units(units.names, shapes)


def _gaze_rotation(direction, angle, outwards):
    """[3, 3] about x for up and down, about y for in and out; `outwards` is the sign of x on the eye's outer side."""
    cosine, sine = np.cos(angle), np.sin(angle)
    if direction in ("Up", "Down"):
        sine = -sine if direction == "Up" else sine
        return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    sine *= outwards if direction == "Out" else -outwards
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])


def eyeball_centre(points: np.ndarray) -> np.ndarray:
    """The centre [3] of a sphere through the sclera [E, 3], ring by ring, without the cornea's bulge."""
    points = points[len(points) // 3 :]
    solution = np.linalg.lstsq(np.c_[2 * points, np.ones(len(points))], (points**2).sum(1), rcond=None)[0]
    return solution[:3]


def _closed_lids(closed, eye: Opening, centre, spread):
    """[N, 3]: what moves the lids' margins of a blink onto each other, off the eyeball."""
    rings = slice(0, LID_MARGIN_RING + 2)
    upper, lower = closed[eye.grid[LID_MARGIN_RING, eye.upper]], closed[eye.grid[LID_MARGIN_RING, eye.lower]]
    meeting = 0.3 * upper + 0.7 * lower
    radius = np.linalg.norm(meeting - centre, axis=1, keepdims=True)
    meeting = centre + (meeting - centre) * (radius + BLINK_CLEARANCE) / radius
    moved, shifts = [], []
    for columns, margin in ((eye.upper, upper), (eye.lower, lower)):
        vertices = eye.grid[rings][:, columns]
        moved.append(vertices.ravel())
        shifts.append(np.broadcast_to(meeting - margin, (*vertices.shape, 3)).reshape(-1, 3))
    return spread(np.concatenate(moved), np.concatenate(shifts))


def _meeting_lips(displacement, mouth: Opening, spread):
    """[N, 3]: what moves the lips, displaced from rest, back onto each other as at rest."""
    rings = slice(0, CONTACT_RING + 3)
    upper = displacement[mouth.grid[CONTACT_RING, mouth.upper]]
    lower = displacement[mouth.grid[CONTACT_RING, mouth.lower]]
    moved, shifts = [], []
    for columns, sign in ((mouth.upper, 0.5), (mouth.lower, -0.5)):
        vertices = mouth.grid[rings][:, columns]
        moved.append(vertices.ravel())
        shifts.append(np.broadcast_to(sign * (lower - upper), (*vertices.shape, 3)).reshape(-1, 3))
    return spread(np.concatenate(moved), np.concatenate(shifts))


def repaired_identity(
    modes: np.ndarray, mean: np.ndarray, openings: Openings, eyeballs: list[np.ndarray], *, spread: Spreader
) -> np.ndarray:
    """[K, N, 3]: modes under which closed lips stay closed, and lids stay on the eyeballs.

    Where the lips meet, both rise and sink together; the lids' margins keep their distance from the eyeballs' surface.
    """
    lips = openings.mouth.grid[CONTACT_RING - 3 : CONTACT_RING + 3]
    upper, lower = lips[:, openings.mouth.upper].ravel(), lips[:, openings.mouth.lower].ravel()
    moved = [upper, lower]
    margins = []
    for eye, ball in zip(openings.eyes, eyeballs, strict=True):
        margin = np.unique(eye.grid[: LID_MARGIN_RING + 3])
        offset = mean[margin] - eyeball_centre(mean[ball])
        normals = offset / np.linalg.norm(offset, axis=1, keepdims=True)
        margins.append((margin, normals, ball[cKDTree(mean[ball]).query(mean[margin])[1]]))
        moved.append(margin)
    repaired = []
    for mode in modes.astype(float):
        apart = np.zeros((len(upper), 3))
        apart[:, 1] = mode[upper, 1] - mode[lower, 1]
        shifts = [-apart / 2, apart / 2]
        for margin, normals, nearest in margins:
            height = ((mode[margin] - mode[nearest]) * normals).sum(1, keepdims=True)
            shifts.append(-height * normals)
        repaired.append(mode + spread(np.concatenate(moved), np.concatenate(shifts)))
    return np.stack(repaired)


def way_out(
    vertices: np.ndarray, pairs: list[Pair | Margins], spread: Spreader, tolerance: float = TOLERANCE
) -> np.ndarray | None:
    """[N, 3]: a displacement that lessens the penetrations of a face; None if there are none worth mention."""
    shift, times = np.zeros_like(vertices), np.zeros(len(vertices))
    for pair in pairs:
        depths, out = pair.depths(vertices)
        deep = depths > tolerance
        share = 1.0 if pair.kind == "eyeball" else 0.5
        np.add.at(shift, pair.points[deep], share * depths[deep, None] * out[deep])
        np.add.at(times, pair.points[deep], 1)
    moved = np.flatnonzero(times)
    moved = moved[moved < HEAD.stop]
    if not len(moved):
        return None
    return spread(moved, shift[moved] / times[moved, None])


def without_penetration(
    units: Units,
    neutral: np.ndarray,
    openings: Openings,
    eyeballs: list[np.ndarray],
    *,
    pairs: list[Pair | Margins],
    spread: Spreader,
    combinations: np.ndarray,
    rounds: int = ROUNDS,
) -> Units:
    """Units whose combinations keep lips and lids apart: each penetration is resolved by the units that cause it.

    Args:
      combinations: [S, U] weights of the units.
    """
    shapes = units.shapes.copy()
    number = {name: k for k, name in enumerate(units.names)}
    for _ in range(rounds):
        for weights in combinations:
            active = np.flatnonzero(weights)
            face = neutral + np.tensordot(weights[active], shapes[active], 1)
            shift = way_out(face, pairs, spread)
            if shift is not None:
                share = weights[active] / (weights[active] ** 2).sum()
                shapes[active] += share[:, None, None] * shift
        for name, ball, eye in zip(("Left", "Right"), eyeballs, openings.eyes, strict=True):
            blink = number[f"eyeBlink{name}"]
            shapes[blink] += _closed_lids(neutral + shapes[blink], eye, eyeball_centre(neutral[ball]), spread)
    return Units(units.names, shapes)


def identity_without_penetration(
    modes: np.ndarray, mean: np.ndarray, pairs: list[Pair | Margins], spread: Spreader
) -> np.ndarray:
    """[K, N, 3]: modes whose random faces keep lips and lids apart: each penetration is resolved by all of them."""
    rng, modes = np.random.default_rng(80), modes.copy()
    for code in rng.standard_normal((IDENTITIES, len(modes))):
        shift = way_out(mean + np.tensordot(code, modes, 1), pairs, spread)
        if shift is not None:
            modes += (code / (code @ code))[:, None, None] * shift
    return modes


def plausible_combinations(names: list[str], count: int = COMBINATIONS, seed: int = 7) -> np.ndarray:
    """[S, U] weights: each unit alone, half and whole, then two and three at a time at weights that faces use."""
    rng = np.random.default_rng(seed)
    number = {name: k for k, name in enumerate(names)}
    rows = [strength * row for row in np.eye(len(names)) for strength in (0.5, 1.0)]
    for _ in range(count):
        row = np.zeros(len(names))
        chosen = rng.choice(len(names), rng.integers(2, 4), replace=False)
        row[chosen] = rng.uniform(0.3, 0.9, len(chosen))
        rows.append(row)
    weights = np.stack(rows)
    # mouthClose closes the lips of an open jaw, and has no meaning without it.
    jaw, close = number["jawOpen"], number["mouthClose"]
    weights[:, jaw] = np.maximum(weights[:, jaw], weights[:, close])
    for side in ("Left", "Right"):
        for first, second in (("eyeWide", "eyeBlink"), ("eyeWide", "eyeSquint")):
            weights[:, number[first + side]] *= weights[:, number[second + side]] == 0
        for first, second in (("eyeLookUp", "eyeLookDown"), ("eyeLookIn", "eyeLookOut")):
            weights[:, number[first + side]] *= weights[:, number[second + side]] == 0
    return weights
