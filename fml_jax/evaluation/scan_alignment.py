"""A face's surface laid over a scan by a similarity, and the distances between both.

One photo determines neither size nor place, so a similarity is allowed: by landmarks first, then by closest points
(ICP, Besl and McKay 1992) from the scan's face region, which is the same for all faces that are compared with a scan.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from fml_jax.face_model.surfaces import Mesh, SurfaceSearch, at, procrustes, vertex_normals
from fml_jax.fitting.surface_fit import Pose

_ROUNDS = 30  # of closest points, at most
_ALONG = 0.01  # weight of distances in all directions, against those along the normal
_STILL = 1e-3  # mm by which a round moves the scan's points when no further one is needed
_MOST_POINTS = 1500  # of the region, that seek partners


class Distances(NamedTuple):
    """Distances between a scan and an aligned face, mm."""

    scan_to_mesh: Float[np.ndarray, "S"]  # of the scan's region
    mesh_to_scan: Float[np.ndarray, "M"]  # of the face's vertices that lie on that region


def by_landmarks(landmarks: Float[np.ndarray, "L 3"], scan_landmarks: Float[np.ndarray, "L 3"]) -> Pose:
    """The similarity that brings a face's landmarks nearest to a scan's, over those that both have (no NaN)."""
    known = np.isfinite(landmarks).all(1) & np.isfinite(scan_landmarks).all(1)
    return _similarity(landmarks[known], scan_landmarks[known])


def by_closest_points(mesh: Mesh, points: Float[np.ndarray, "S 3"], start: Pose) -> Pose:
    """The similarity that brings a face's surface nearest to points of a scan, from one that is nearly right.

    Distances count along the face's normals, and a little in all directions (`_ALONG`).

    Args:
      points: of the region that is compared.
    """
    search, normals, pose = SurfaceSearch(*mesh), vertex_normals(*mesh), start
    points = points[:: -(-len(points) // _MOST_POINTS)]
    for _ in range(_ROUNDS):
        corners, weights = search.closest(_undone(pose, points))
        partners, facing = pose(at(mesh.vertices, corners, weights)), at(normals, corners, weights) @ pose.rotation.T
        change = _step(partners, facing, points - partners)
        pose = Pose(change.scale * pose.scale, change.rotation @ pose.rotation, change(pose.shift))
        if np.linalg.norm(change(partners) - partners, axis=1).max() < _STILL:
            break
    return pose


def _step(points, normals, gaps) -> Pose:
    """The small similarity that closes the gaps of points best: a Gauss–Newton step."""
    centre = points.mean(0)
    about = points - centre
    turns = np.stack([np.cross(axis, about) for axis in np.eye(3)])
    shifts = np.broadcast_to(np.eye(3)[:, None], turns.shape)
    columns = np.concatenate([turns, shifts, about[None]])  # [7, S, 3]
    along, flat = np.einsum("kpc,pc->kp", columns, normals), columns.reshape(7, -1)
    normal = along @ along.T + _ALONG * flat @ flat.T
    change = np.linalg.solve(normal, along @ (gaps * normals).sum(1) + _ALONG * flat @ gaps.ravel())
    rotation, scale = Rotation.from_rotvec(change[:3]).as_matrix(), float(np.exp(change[6]))
    return Pose(scale, rotation, centre + change[3:6] - scale * rotation @ centre)


def distances(mesh: Mesh, scan: Mesh, region: Bool[np.ndarray, "N"]) -> Distances:
    """Distances of an aligned face from a scan and back.

    Args:
      mesh: already in the scan's place.
      region: vertices of the scan that are compared. A vertex of the face is compared where its nearest point of the
        scan lies on triangles of the region.
    """
    to_mesh = SurfaceSearch(mesh.vertices, mesh.triangles).distances(scan.vertices[region])
    search = SurfaceSearch(scan.vertices, scan.triangles)
    corners, _ = search.closest(mesh.vertices)
    return Distances(to_mesh, search.distances(mesh.vertices[region[corners].all(1)]))


def sums(found: Distances) -> dict[str, float]:
    """Mean, median, standard deviation and root mean square of each direction, and the Hausdorff distance at 95 %.

    The last one is the larger of both directions' 95th percentiles.
    """
    values: dict[str, float] = {}
    for name, column in found._asdict().items():
        title = name.replace("_", " ")
        values |= {
            f"{title}, mean": float(column.mean()),
            f"{title}, median": float(np.median(column)),
            f"{title}, SD": float(column.std()),
            f"{title}, RMS": float(np.sqrt((column**2).mean())),
        }
    return values | {"Hausdorff 95 %": float(max(np.percentile(column, 95) for column in found))}


def _similarity(points, target) -> Pose:
    scale, rotation, centre = procrustes(points, target)
    return Pose(scale, rotation, target.mean(0) - scale * rotation @ centre)


def _undone(pose, points):
    return (points - pose.shift) @ pose.rotation / pose.scale
