"""A job whose network finds a given face in each photo, for tests of the field's benchmarks."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from fml_jax.errors import InputError
from fml_jax.evaluation.job import Job
from fml_jax.face_model.surfaces import Mesh
from fml_jax.reconstruction import Reconstruction
from tests.export.stub_batch import tiny_face

BOX = (10.0, 10.0, 90.0, 90.0)


class StubReconstructor:
    """The face of a photo by its stem; other photos show none."""

    def __init__(self, faces: dict[str, Reconstruction]) -> None:
        self._faces, self.model = faces, tiny_face(0).model

    def __call__(self, path: Path, boxes: list | None = None) -> list[Reconstruction]:
        """As a `Reconstructor`; a box is taken over."""
        if path.stem not in self._faces:
            raise InputError(f"{path}: no face found")
        face = self._faces[path.stem]
        return [face if boxes is None else dataclasses.replace(face, box=np.array(boxes[0]))]


def stub_job(monkeypatch, folder: Path, faces: dict[str, Reconstruction]) -> Job:
    """A job without refinement."""
    monkeypatch.setattr(Job, "reconstructor", StubReconstructor(faces))
    return Job(folder, refine=False)


def write_photo(path: Path) -> Path:
    """A grey picture, in a folder that is made if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((100, 100, 3), 90, np.uint8))
    return path


def one_level(**fields) -> Reconstruction:
    """A face of the tiny model whose base level is itself."""
    face = tiny_face(0)
    return _OneLevel(**{field.name: getattr(face, field.name) for field in dataclasses.fields(face)} | fields)


class _OneLevel(Reconstruction):
    def level(self, name):
        return self


def write_picked(path: Path, points: np.ndarray) -> None:
    """Points as MeshLab writes picked ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    marks = [
        f' <point x="{x}" y="{y}" z="{z}" active="1" name="{k}"/>\n' for k, (x, y, z) in enumerate(points.tolist())
    ]
    path.write_text(f"<!DOCTYPE PickedPoints>\n<PickedPoints>\n{''.join(marks)}</PickedPoints>\n")


def write_obj(path: Path, vertices: np.ndarray, triangles: np.ndarray) -> None:
    """A mesh."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["v {:.9f} {:.9f} {:.9f}".format(*point) for point in vertices]
    path.write_text("\n".join([*lines, *("f {} {} {}".format(*corners) for corners in np.asarray(triangles) + 1)]))


def plane(side: int = 21) -> Mesh:
    """A square of 180 mm in the plane z = 0."""
    x, y = np.meshgrid(np.linspace(-90, 90, side), np.linspace(-90, 90, side))
    k = np.arange(side * side).reshape(side, side)
    a, b, c, d = (part.ravel() for part in (k[:-1, :-1], k[1:, :-1], k[1:, 1:], k[:-1, 1:]))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return Mesh(np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3), triangles)
