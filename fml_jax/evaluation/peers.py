"""Faces of other programs: folders of meshes of the same pictures, measured like ours."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from fml_jax.errors import InputError
from fml_jax.evaluation.face_meshes import FaceMesh
from fml_jax.evaluation.scans import ENDINGS
from fml_jax.face_model.landmarks import CONTOUR
from fml_jax.face_model.surfaces import Mesh
from fml_jax.image_formation.plain_pictures import View, render
from fml_jax.importers.mesh_files import read_mesh
from fml_jax.photos.landmarks import IBUG_FROM_MEDIAPIPE, detect_mesh

_AXES = (np.eye(3), np.diag([1.0, -1.0, -1.0]))  # y up, z out of the face; or the camera's, y down, z forward
_EXTENT = 210.0  # mm to which a mesh is scaled for its picture
_SIZE = 400  # pixels
_CLAY = 0.7


class PeerMeshes:
    """The meshes of one program, in a folder, each with the name of its picture."""

    def __init__(self, folder: str) -> None:
        """
        Raises:
          InputError: the folder has no mesh.
        """
        self.name, self._folder = Path(folder).resolve().name, Path(folder)
        found = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
        self._paths = {path.stem: path for path in found if path.suffix.lower() in ENDINGS}
        if not self._paths:
            raise InputError(f"--meshes={folder}: no file of {' or '.join(ENDINGS)}; name meshes like their pictures")

    def contents(self) -> list[tuple[str, int, int]]:
        """Name, size and time of each mesh, by which rows of other meshes are told apart."""
        return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in self._paths.values()]

    def face(self, picture: str) -> FaceMesh | None:
        """The mesh of a picture; None if there is none, or if no landmarks are seen on it.

        Raises:
          InputError: the file cannot be read.
        """
        if picture not in self._paths:
            return None
        read = read_mesh(self._paths[picture])
        mesh = Mesh(read.vertices.astype(np.float64), read.triangles)
        marks = seen_landmarks(mesh)
        return None if marks is None else FaceMesh(mesh, marks, None, None)


def seen_landmarks(mesh: Mesh) -> Float[np.ndarray, "51 3"] | None:
    """iBUG's points without the contour, as MediaPipe sees them on a picture of the mesh in grey; NaN beside the mesh.

    Returns:
      None where it sees no face, neither with y up nor with y down.
    """
    corners = mesh.vertices[mesh.triangles]
    for axes in _AXES:
        picture = render(_framed(mesh.vertices @ axes), mesh.triangles, np.full(mesh.vertices.shape, _CLAY), view=_VIEW)
        found = detect_mesh(picture.image)
        if found is not None:
            x, y = np.clip(found[IBUG_FROM_MEDIAPIPE[CONTOUR:], :2].round().astype(int), 0, _SIZE - 1).T
            hit = picture.triangle_index[y, x]
            points = (corners[hit] * picture.barycentric[y, x][..., None]).sum(1)
            return np.where(hit[:, None] >= 0, points, np.nan)
    return None


def open_peers(folders: Sequence[str]) -> list[PeerMeshes]:
    """The programs of several folders, whose names must differ.

    Raises:
      InputError: a folder has no mesh, or two have one name.
    """
    peers = [PeerMeshes(folder) for folder in folders]
    names = [peer.name for peer in peers]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise InputError(f"--meshes: two folders are called {repeated[0]}, by which the table names them; rename one")
    return peers


_VIEW = View(size=_SIZE)


def _framed(vertices):
    low, high = vertices.min(0), vertices.max(0)
    return (vertices - (low + high) / 2) * (_EXTENT / (high - low)[:2].max())
