"""The rings of vertices around mouth and eyes: lips and lids of ICT-FaceKit's topology as regular grids."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse

MOUTH_RINGS, CONTACT_RING = 16, 7  # rings from the mouth's lining outwards; the lips meet on the seventh
EYE_RINGS, LID_MARGIN_RING = 7, 2  # from the inner edge of the lids outwards; the front edge of the margin
PAIRED_RING = 2  # on which facing columns are nearest


@dataclass(frozen=True)
class Opening:
    """An opening of the skin with an upper and a lower side.

    `grid` [R, C] holds vertices: ring by ring from the inner edge outwards, along C columns in the order of the loop.
    Column `upper[k]` faces column `lower[k]`.
    """

    grid: np.ndarray
    upper: np.ndarray
    lower: np.ndarray

    def quads(self, columns: np.ndarray) -> np.ndarray:
        """[Q, 4] the grid's quads between neighbouring columns that are both in `columns`."""
        count = self.grid.shape[1]
        first = np.array([column for column in range(count) if column in set(columns.tolist())])
        first = first[np.isin((first + 1) % count, columns)]
        here, there = self.grid[:, first], self.grid[:, (first + 1) % count]
        return np.stack([here[:-1], here[1:], there[1:], there[:-1]], axis=-1).reshape(-1, 4)


@dataclass(frozen=True)
class Openings:
    """The mouth, and the left and right eye."""

    mouth: Opening
    eyes: tuple[Opening, Opening]


def find_openings(vertices: np.ndarray, quads: np.ndarray) -> Openings:
    """Finds the openings of a head: its open borders but the neck's.

    Args:
      vertices: [N, 3] neutral face.
      quads: [Q, 4] of the head and neck alone.
    """
    sides = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], -1).reshape(-1, 2), axis=1)
    edges, faces = np.unique(sides, axis=0, return_counts=True)
    loops = _loops(edges[faces == 1])
    neck = min(loops, key=lambda loop: vertices[loop, 1].min())
    mouth, *eyes = sorted((loop for loop in loops if loop is not neck), key=lambda loop: vertices[loop, 1].mean())
    eyes.sort(key=lambda loop: -vertices[loop, 0].mean())
    links = sparse.coo_matrix((np.ones(len(edges)), edges.T), (len(vertices),) * 2).tocsr()
    links = (links + links.T).tocsr()
    left, right = (_opening(vertices, links, loop, EYE_RINGS) for loop in eyes)
    return Openings(_opening(vertices, links, mouth, MOUTH_RINGS), (left, right))


def _loops(border):
    """Closed loops of vertices, from border edges."""
    neighbours: dict[int, list[int]] = {}
    for here, there in border.tolist():
        neighbours.setdefault(here, []).append(there)
        neighbours.setdefault(there, []).append(here)
    loops, passed = [], set()
    for start in sorted(neighbours):
        if start in passed:
            continue
        loop = [start, min(neighbours[start])]
        while True:
            following = [number for number in neighbours[loop[-1]] if number != loop[-2]][0]
            if following == start:
                break
            loop.append(following)
        loops.append(np.array(loop))
        passed |= set(loop)
    return loops


def _opening(vertices, links, loop, rings):
    grid, passed = [loop], set(loop.tolist())
    for _ in range(rings - 1):
        outwards = [_neighbours(links, vertex) - passed for vertex in grid[-1]]
        grid.append(np.array([min(choices) for choices in outwards]))
        passed |= set(grid[-1].tolist())
    count = len(loop)
    half = (count - 1) // 4
    steps = np.arange(-half, half + 1)
    # Upper and lower side part where columns that face each other are nearest, and the upper side is above.
    choices = [((top + steps) % count, (top + count // 2 - steps) % count) for top in range(count)]
    upper, lower = min(choices, key=lambda sides: _distance_across(vertices, grid[PAIRED_RING], *sides))
    return Opening(np.stack(grid), upper, lower)


def _distance_across(vertices, ring, upper, lower):
    across = vertices[ring[upper]] - vertices[ring[lower]]
    return np.linalg.norm(across, axis=1).sum() + (1e6 if across[:, 1].mean() < 0 else 0)


def _neighbours(links, vertex):
    return set(links.indices[links.indptr[vertex] : links.indptr[vertex + 1]].tolist())
