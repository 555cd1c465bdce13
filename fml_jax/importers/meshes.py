"""A folder of meshes in correspondence (the same vertices in the same order), as a model of their principal components.

A landmark file names 68 vertices, from which the meshes' unit and axes are found.
"""

import re
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from fml_jax.errors import InputError
from fml_jax.face_model.files import load_face_model
from fml_jax.face_model.landmarks import CONTOUR, landmarks68
from fml_jax.face_model.surfaces import procrustes
from fml_jax.importers.mesh_files import read_mesh
from fml_jax.importers.raw_model import RawModel, beginning, checked, existing, outward

MOST_MESHES = 2000
_MOST_NUMBERS = 2**29  # coordinates of all meshes together, 2 GiB
_MOST_BYTES = 100_000
_FRONTAL = np.diag([1.0, -1.0, -1.0])
_LEAST_SHARE = 1e-8  # of the first mode's variance: weaker ones are noise


def read_landmark_file(path: Path) -> np.ndarray:
    """68 numbers of vertices, from 0, in iBUG's order; −1 stands for an unknown one.

    The numbers may be separated by commas, spaces or lines, in brackets or not.

    Raises:
      InputError: no such file, or it holds something else.
    """
    text = beginning(existing(path, "landmark file"), _MOST_BYTES + 1).decode("latin-1")
    if len(text) > _MOST_BYTES or re.fullmatch(r"[\s,;\[\]\d-]*", text) is None:
        raise InputError(f"{path}: not a list of 68 numbers of vertices (from 0, iBUG's order)")
    found = re.findall(r"-?\d{1,9}(?!\d)", text)
    if len(found) != 68:
        raise InputError(f"{path}: {len(found)} numbers; a landmark file has 68 numbers of vertices (from 0)")
    return np.array(found, np.int64)


def read_meshes(path: Path, landmarks: np.ndarray) -> RawModel:
    """Reads a folder of OBJ and PLY files.

    Args:
      landmarks: [68] vertices, −1 where unknown.

    Raises:
      InputError: fewer than two meshes, or meshes that are not in correspondence.
    """
    if not path.is_dir():
        raise InputError(f"{path}: no such folder of meshes; check the path")
    paths = sorted(each for each in path.iterdir() if each.suffix.lower() in (".obj", ".ply"))
    if not 2 <= len(paths) <= MOST_MESHES:
        raise InputError(f"{path}: {len(paths)} meshes of .obj or .ply; 2 to {MOST_MESHES} are read")
    first = read_mesh(paths[0])
    if first.vertices.size * len(paths) > _MOST_NUMBERS:
        raise InputError(f"{path}: the meshes do not fit into memory; leave some out")
    shapes = np.empty((len(paths), *first.vertices.shape), np.float32)
    colours = None if first.colours is None else np.empty_like(shapes)
    for k, each in enumerate(paths):
        mesh = read_mesh(each)
        if mesh.vertices.shape != first.vertices.shape:
            raise InputError(f"{each}: {len(mesh.vertices)} vertices, but {paths[0].name} has {len(first.vertices)}")
        if not np.array_equal(mesh.triangles, first.triangles):
            raise InputError(f"{each}: other triangles than {paths[0].name}; meshes must be in correspondence")
        shapes[k] = mesh.vertices
        colours = _with_colours(colours, k, mesh.colours)
    if landmarks.max() >= len(first.vertices):
        raise InputError(f"{path}: a landmark is vertex {landmarks.max()}, but there are {len(first.vertices)}")
    shapes, notes = _in_model_space(path, shapes, landmarks)
    mean, identity = _principal(_aligned(shapes))
    triangles, turned = outward(mean, first.triangles)
    model = RawModel(
        path.name,
        mean,
        triangles,
        identity,
        landmarks68=landmarks,
        notes=(*notes, *("triangles turned to be counter-clockwise from outside",) * turned),
    )
    if colours is not None:
        colour_mean, reflectance = _principal(colours)
        model = model._replace(reflectance_mean=colour_mean, reflectance=reflectance)
    if first.uv is not None and first.uv_triangles is not None:
        corners = first.uv_triangles
        model = model._replace(uv=first.uv, uv_triangles=corners[:, ::-1].copy() if turned else corners)
    return checked(path, model)


def _with_colours(colours, k, own):
    """The table of all meshes' colours with one more; None from the first mesh on that has none."""
    if colours is None or own is None:
        return None
    colours[k] = own
    return colours


def _in_model_space(path: Path, shapes: np.ndarray, marks: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Shapes in mm and in the project's axes, by where the landmarks lie on the open model."""
    model = load_face_model()
    wanted = np.asarray(landmarks68(model.landmarks, model.mean, _FRONTAL))
    known = np.flatnonzero(marks >= 0)
    known = known[known >= CONTOUR] if (known >= CONTOUR).sum() >= 8 else known
    if len(known) < 4:
        raise InputError(f"{path}: {len(known)} known landmarks; at least 4 are needed")
    points = shapes.mean(0, dtype=np.float64)[marks[known]]
    if np.linalg.matrix_rank(points - points.mean(0), 1e-6 * (np.abs(points).max() + 1e-12)) < 3:
        raise InputError(f"{path}: the landmarks lie in one place or plane; check the landmark file")
    scale, rotation, _ = procrustes(points, wanted[known])
    unit = 10.0 ** np.rint(np.log10(scale))
    axes = _nearest_axes(rotation)
    notes = [f"one unit of the meshes is {unit:g} mm"]
    if not np.array_equal(axes, np.eye(3)):
        notes.append(f"axes turned by {np.degrees(Rotation.from_matrix(axes).magnitude()):.0f}°")
    return (unit * shapes @ axes.T.astype(np.float32)).astype(np.float32), notes


def _nearest_axes(rotation: np.ndarray) -> np.ndarray:
    """The rotation that takes axes to axes and is nearest to one."""
    candidates = Rotation.create_group("O").as_matrix().round()
    return candidates[np.abs(candidates - rotation).sum(axis=(1, 2)).argmin()] + 0.0


def _aligned(shapes: np.ndarray) -> np.ndarray:
    """Shapes moved and turned (not scaled) onto their mean."""
    shapes = shapes - (shapes.mean(1, keepdims=True) - shapes.mean((0, 1)))
    for _ in range(3):
        mean = shapes.mean(0)
        for k, shape in enumerate(shapes):
            _, rotation, centre = procrustes(shape.astype(np.float64), mean.astype(np.float64))
            shapes[k] = (shape - centre) @ rotation.T + mean.mean(0)
    return shapes


def _principal(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [N, 3], and principal modes [K, N, 3] times their standard deviations."""
    mean = samples.mean(0)
    flat = (samples - mean).reshape(len(samples), -1)
    values, vectors = np.linalg.eigh((flat @ flat.T).astype(np.float64) / max(len(samples) - 1, 1))
    order = np.argsort(values)[::-1]
    kept = order[: max(1, int((values > _LEAST_SHARE * values.max()).sum()))][: len(samples) - 1]
    # The mode is the unit direction times its deviation √value; flatᵀ v has the length √(value · (S − 1)).
    modes = (vectors[:, kept].T.astype(np.float32) @ flat) / np.float32(np.sqrt(max(len(samples) - 1, 1)))
    signs = np.sign(np.take_along_axis(modes, np.abs(modes).argmax(1)[:, None], axis=1))
    return mean, (modes * np.where(signs == 0, 1, signs)).reshape(len(kept), *mean.shape)
