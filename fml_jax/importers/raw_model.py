"""What every layout is read into, and the checks that all of them share."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fml_jax import safe_npz
from fml_jax.errors import InputError
from fml_jax.face_model.topology import too_many_around

MOST_VERTICES, MOST_MODES = 400_000, 1000
LEAST_VERTICES = 100
_FARTHEST = 1e5  # mm, or RGB: larger values are another unit or damage, and overflow where they are squared
_MOST_EXACT = 2.0**53
_SHAPE_NAME = re.compile(r"[\w.-]{1,60}", re.ASCII)  # they become keys, columns and labels of many files


class RawModel(NamedTuple):
    """A face model in the project's space: mm, x to the subject's left, y up, z out of the face.

    Modes are multiplied by their standard deviations. What a layout lacks is None.
    """

    name: str
    mean: np.ndarray  # [N, 3]
    triangles: np.ndarray  # [T, 3]
    identity: np.ndarray  # [K, N, 3]
    expression: np.ndarray | None = None  # [K, N, 3]
    reflectance_mean: np.ndarray | None = None  # [N, 3] in [0, 1]
    reflectance: np.ndarray | None = None  # [K, N, 3]
    uv: np.ndarray | None = None  # [M, 2], v up
    uv_triangles: np.ndarray | None = None  # [T, 3]
    landmarks68: np.ndarray | None = None  # [68] vertices of iBUG's points, −1 where unknown
    named_shapes: tuple[tuple[str, ...], np.ndarray] | None = None  # ARKit's names [A], and their codes [A, K]
    notes: tuple[str, ...] = ()  # what was decided or left out, for the report


def allowance(path: Path) -> int:
    """How many bytes the arrays of a file may take, as for npz files."""
    return safe_npz.FREE + safe_npz.RATIO * path.stat().st_size


def existing(path: Path, kind: str) -> Path:
    """The path of a file.

    Raises:
      InputError: there is no such file.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such {kind}; check the path")
    return path


def beginning(path: Path, most: int) -> bytes:
    """A file's first bytes, so many at most; the rest is not read."""
    with path.open("rb") as file:
        return file.read(most)


def one_line(error: BaseException) -> str:
    """What an error says, short and on one line without control characters, which a damaged file may have put there."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(error)[:200])
    return text.strip() or type(error).__name__


def whole_numbers(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """An array that holds whole numbers, as int64; MATLAB stores these as real numbers.

    Raises:
      InputError: some are no whole numbers.
    """
    array = np.asarray(array)
    if array.dtype.kind == "f":
        within = np.isfinite(array) & (np.abs(array) < _MOST_EXACT)
        if not within.all() or (array != np.floor(array)).any():
            raise InputError(f"{path}: {name!r} holds values that are no whole numbers; check the file")
    elif array.dtype.kind not in "iub":
        raise InputError(f"{path}: {name!r} holds no numbers; check the file")
    return array.astype(np.int64)


def single(array: np.ndarray) -> np.ndarray:
    """As float32; what is too large for it becomes infinite, which `checked` refuses."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(array, np.float32)


def vectors(path: Path, name: str, array: np.ndarray, *, vertex_count: int | None = None) -> np.ndarray:
    """Coordinates of one shape, adjacent for a vertex (x y z x y z …), as [N, 3].

    Raises:
      InputError: they are no triples, not of so many vertices, or not finite.
    """
    flat = single(array).ravel()
    if flat.size % 3 or not flat.size or (vertex_count is not None and flat.size != 3 * vertex_count):
        wanted = "triples of coordinates" if vertex_count is None else f"{vertex_count} vertices"
        raise InputError(f"{path}: {name!r} has {flat.size} numbers, which are not {wanted}; check the file")
    if not np.isfinite(flat).all():
        raise InputError(f"{path}: {name!r} holds values that are not finite; check the file")
    return flat.reshape(-1, 3)


def modes(path: Path, name: str, basis: np.ndarray, *, vertex_count: int, deviations: np.ndarray) -> np.ndarray:
    """[K, N, 3] of a basis [3 N, K] and the standard deviations [K] of its columns.

    Raises:
      InputError: the arrays do not fit each other.
    """
    deviations = single(deviations).ravel()
    if basis.shape != (3 * vertex_count, len(deviations)):
        raise InputError(
            f"{path}: {name!r} has shape {basis.shape}, not {(3 * vertex_count, len(deviations))} as the other arrays "
            "ask for; check the file"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # `checked` names arrays that are not finite
        scaled = single(basis).T * deviations[:, None]
    return np.ascontiguousarray(scaled).reshape(len(deviations), vertex_count, 3)


def checked(path: Path, model: RawModel) -> RawModel:
    """The model, if its arrays are finite, fit each other and name vertices that there are.

    Raises:
      InputError: they do not.
    """
    count = len(model.mean)
    if not LEAST_VERTICES <= count <= MOST_VERTICES:
        raise InputError(f"{path}: {count} vertices; face models have {LEAST_VERTICES} to {MOST_VERTICES}")
    for name in ("mean", "identity", "expression", "reflectance_mean", "reflectance", "uv"):
        array = getattr(model, name)
        if array is None:
            continue
        if name in ("identity", "expression", "reflectance") and not 0 < len(array) <= MOST_MODES:
            raise InputError(f"{path}: {len(array)} modes of {name}; 1 to {MOST_MODES} are read")
        if name != "uv" and array.shape[-2:] != (count, 3):
            raise InputError(f"{path}: {name} has shape {array.shape}, which does not fit {count} vertices")
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {name} holds values that are not finite; check the file")
        if (largest := float(np.abs(array).max(initial=0))) > _FARTHEST:
            raise InputError(f"{path}: {name} holds values up to {largest:.1g}; check the file and its unit")
    _check_triangles(path, model.triangles, count)
    if not (np.ptp(model.mean[np.unique(model.triangles)], axis=0) > 0).all():
        raise InputError(f"{path}: its mean face lies in one plane; check the file")
    if model.uv is not None and model.uv_triangles is not None:
        if model.uv.ndim != 2 or model.uv.shape[1] != 2:
            raise InputError(f"{path}: its texture coordinates have shape {model.uv.shape}, not (M, 2); check the file")
        if model.uv_triangles.shape != model.triangles.shape or not _within(model.uv_triangles, len(model.uv)):
            raise InputError(f"{path}: its texture coordinates do not fit its triangles; check the file")
    for name in model.named_shapes[0] if model.named_shapes is not None else ():
        if _SHAPE_NAME.fullmatch(name) is None:
            raise InputError(f"{path}: {name[:40]!r} is no name of a shape; use letters, digits, _, . and -")
    if model.landmarks68 is not None:
        marks = model.landmarks68
        if marks.shape != (68,) or not _within(marks[marks >= 0], count):
            raise InputError(f"{path}: its landmarks are not 68 numbers of vertices below {count}; check the file")
    return model


def _check_triangles(path: Path, triangles: np.ndarray, count: int) -> None:
    if triangles.ndim != 2 or triangles.shape[1] != 3 or not len(triangles):
        raise InputError(f"{path}: its triangles have shape {triangles.shape}, not (T, 3); check the file")
    if not _within(triangles, count):
        raise InputError(
            f"{path}: its triangles name vertices {triangles.min()} to {triangles.max()}, but there are {count}"
        )
    if around := too_many_around(triangles, count):
        raise InputError(f"{path}: {around} triangles share one vertex, too many for a face of {count} vertices")


def _within(numbers: np.ndarray, count: int) -> bool:
    return not numbers.size or bool(numbers.min() >= 0 and numbers.max() < count)


def outward(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, bool]:
    """Triangles counter-clockwise as seen from outside, and whether they had to be turned.

    Outside is away from a point inside the head, half the face's depth behind its middle.
    """
    centre = vertices.mean(0) - [0, 0, 0.5 * np.ptp(vertices[:, 2])]
    a, b, c = vertices[triangles].transpose(1, 0, 2).astype(np.float64)
    volume = (np.cross(b - a, c - a) * (a + b + c - 3 * centre)).sum()
    return (triangles[:, ::-1].copy(), True) if volume < 0 else (triangles, False)
