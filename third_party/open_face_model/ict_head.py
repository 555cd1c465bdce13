"""The second edition's mesh, out of ICT-FaceKit's topology: head and neck, and the eyeballs' fronts."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse

from third_party.open_face_model.head_mesh import EYE, LINING, SKIN
from third_party.open_face_model.ict_facekit import EYEBALLS, HEAD, FaceKit
from third_party.open_face_model.openings import CONTACT_RING, find_openings

MERIDIANS = 32  # of an eyeball
FRONT_RINGS = 12  # of the 24 rings between the poles
# Each ring of an eyeball's front and the one before it are parted, so that an iris has an edge.
_RINGS = 2 * FRONT_RINGS


@dataclass(frozen=True)
class Head:
    """The standard mesh. `operator` [N, V] takes ICT-FaceKit's vertices (or displacements) to it."""

    operator: sparse.csr_matrix
    quads: np.ndarray  # [Q, 4]
    parts: np.ndarray  # [Q] SKIN, LINING (inside of the lips) or EYE
    uv: np.ndarray  # [M, 2]
    uv_quads: np.ndarray  # [Q, 4]

    @property
    def vertex_count(self) -> int:
        """N."""
        return self.operator.shape[0]

    @property
    def eyeballs(self) -> list[np.ndarray]:
        """The vertices of the left and the right eyeball."""
        size = _RINGS * MERIDIANS
        return [HEAD.stop + side * size + np.arange(size) for side in range(2)]

    def vertices_of(self, part: int) -> np.ndarray:
        """[N] bool: the vertices of a part's quads."""
        mask = np.zeros(self.vertex_count, bool)
        mask[self.quads[self.parts == part]] = True
        return mask


def cut_head(kit: FaceKit) -> Head:
    """Selects head and neck, and refines the front halves of the eyeballs."""
    inside = kit.quads.max(1) < HEAD.stop
    head_quads, head_uv_quads = kit.quads[inside], kit.uv_quads[inside]
    used, renumbered = np.unique(head_uv_quads, return_inverse=True)
    # Two square tiles beside each other become one, with room for the eyes below.
    uv, uv_quads = [kit.uv[used] * [0.5, 0.9] + [0, 0.1]], [renumbered.reshape(-1, 4)]
    quads, operators = [head_quads], [_selection(np.arange(HEAD.stop), len(kit.neutral))]
    for side, ball in enumerate(EYEBALLS):
        operator, ball_quads = _eyeball_front(kit, ball)
        first = HEAD.stop + side * operator.shape[0]
        quads.append(ball_quads + first)
        operators.append(operator)
        uv_quads.append(ball_quads + sum(map(len, uv)))
        uv.append(_disc_uv(operator @ kit.neutral, side))
    parts = [np.full(len(head_quads), SKIN), *[np.full(len(part), EYE) for part in quads[1:]]]
    parts[0][_inside_of_lips(kit, head_quads)[head_quads].all(1)] = LINING
    return Head(
        sparse.vstack(operators, format="csr"),
        np.concatenate(quads),
        np.concatenate(parts),
        np.concatenate(uv),
        np.concatenate(uv_quads),
    )


def _selection(vertices, count):
    return sparse.csr_matrix((np.ones(len(vertices)), (np.arange(len(vertices)), vertices)), (len(vertices), count))


def _eyeball_front(kit, ball):
    """An operator to twice the rings of a front half, and its quads.

    The pole is left out: gather tables are as wide as the largest number of edges at a vertex. A ladder of quads closes
    the innermost ring.
    """
    rings = _rings(kit, ball)[:FRONT_RINGS]
    count = len(kit.neutral)
    pole = _selection([ball.start], count)
    stacked = [_selection(ring, count) for ring in rings]
    # Between rings a cubic curve through four of them; around the pole the curve goes on to the opposite meridian.
    across = [_selection(np.roll(rings[0], MERIDIANS // 2), count)]
    line = [across[0], sparse.vstack([pole] * MERIDIANS), *stacked, _selection(_rings(kit, ball)[FRONT_RINGS], count)]
    refined = []
    for number in range(1, FRONT_RINGS + 1):
        before, start, end, after = line[number - 1 : number + 3]
        refined += [(9 * (start + end) - before - after) / 16, end]
    quads = quads_of_rings(_RINGS, MERIDIANS)
    operator = sparse.vstack(refined, format="csr")
    return operator, quads if _faces_forward(operator @ kit.neutral, quads) else quads[:, [0, 3, 2, 1]]


def quads_of_rings(rings: int, meridians: int) -> np.ndarray:
    """[Q, 4] quads of an eyeball's front, its vertices numbered ring by ring from the pole; the cap comes first."""
    first = meridians * np.arange(rings)[:, None] + np.arange(meridians)
    beside = np.roll(first, -1, axis=1)
    bands = np.stack([first[:-1], first[1:], beside[1:], beside[:-1]], axis=-1).reshape(-1, 4)
    up, down = np.arange(meridians // 2 - 1), np.arange(meridians - 1, meridians // 2, -1)
    cap = np.stack([up, up + 1, down - 1, down], axis=1)
    return np.concatenate([cap, bands])


def _faces_forward(vertices, quads):
    a, b, c = vertices[quads[:, :3]].transpose(1, 0, 2)
    return np.cross(b - a, c - a)[:, 2].mean() > 0


def _rings(kit, ball):
    """[24, 32] the eyeball's vertices by ring from the front, along the same meridians."""
    numbers = np.arange(ball.start, ball.stop)
    faces = kit.quads[np.isin(kit.quads[:, 0], numbers)]
    neighbours = {number: set() for number in numbers}
    for face in faces:
        corners = face[face >= 0]
        for here, there in zip(corners, np.roll(corners, -1), strict=True):
            neighbours[here].add(int(there))
            neighbours[there].add(int(here))
    # From the top outwards, so that left and right are mirror images.
    side = np.sign(kit.neutral[ball, 0].mean())
    first = [max(neighbours[ball.start], key=lambda number: kit.neutral[number, 1])]
    while len(first) < MERIDIANS:
        around = neighbours[first[-1]] & neighbours[ball.start] - set(first)
        first.append(max(around, key=lambda number: side * kit.neutral[number, 0]))
    rings, passed = [np.array(first)], {ball.start, *first}
    while len(rings) < 24:
        outwards = [(neighbours[number] - passed) for number in rings[-1]]
        rings.append(np.array([min(choices) for choices in outwards]))
        passed |= set(rings[-1].tolist())
    return np.stack(rings)


def _disc_uv(vertices, side):
    """[E, 2] texture coordinates of an eyeball's front: discs below the head's charts."""
    across = vertices[:, :2] - vertices[:MERIDIANS, :2].mean(0)
    return 0.04 * across / np.abs(across).max() + [0.05 + 0.1 * side, 0.05]


def _inside_of_lips(kit, head_quads):
    """[11248] bool: vertices behind the line where the lips meet, to the edge of the mouth's lining."""
    inside = np.zeros(HEAD.stop, bool)
    inside[find_openings(kit.neutral[HEAD], head_quads).mouth.grid[:CONTACT_RING]] = True
    return inside
