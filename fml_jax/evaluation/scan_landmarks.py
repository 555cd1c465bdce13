"""Landmarks of scans as files beside them: NAME.landmarks.csv, .txt or .pp (MeshLab's picked points)."""

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float

from fml_jax.errors import InputError
from fml_jax.face_model.landmarks import CONTOUR

ENDINGS = (".landmarks.csv", ".landmarks.txt", ".landmarks.pp")
# The seven of the NoW benchmark among iBUG's 68: corners of the eyes from the subject's right to the left, the point
# below the nose, corners of the mouth.
SEVEN = np.array([36, 39, 42, 45, 33, 48, 54])
SEVEN_INNER = SEVEN - CONTOUR  # among the 51 without the contour
_MOST_BYTES = 2**20
_FARTHEST = 1e9
_POINT = re.compile(r"<point\b([^<>]*)>")
_PLACE = {axis: re.compile(rf'\b{axis}\s*=\s*"([^"]*)"') for axis in "xyz"}


def landmarks_beside(scan: Path) -> Float[np.ndarray, "51 3"] | None:
    """iBUG's points without the contour of a scan, NaN where unknown; None where no file of them lies beside it.

    The file has 68 points in iBUG's order, 51 without the contour, or NoW's seven.

    Raises:
      InputError: the file cannot be read, or has another number of points.
    """
    path = next((each for ending in ENDINGS if (each := scan.with_name(scan.stem + ending)).is_file()), None)
    if path is None:
        return None
    points = read_points(path)
    if len(points) == 7:
        marks = np.full((51, 3), np.nan)
        marks[SEVEN_INNER] = points
        return marks
    if len(points) not in (51, 68):
        raise InputError(f"{path}: {len(points)} points; give iBUG's 68, the 51 without the contour, or NoW's seven")
    return points[-51:]


def read_points(path: Path) -> Float[np.ndarray, "L 3"]:
    """The points of a .csv, .txt, .pp or .obj file, in its order; a first line of headings is left out.

    Raises:
      InputError: no such file, or one without points or with others than three numbers.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: over {_MOST_BYTES // 2**20} MiB, which is no file of landmarks; check the file")
        text = path.read_text("utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    rows = {".pp": _picked, ".obj": _vertices}.get(path.suffix.lower(), _lines)(text)
    try:
        points = np.array(rows, np.float64).reshape(len(rows), 3)
    except (ValueError, TypeError):
        points = np.empty((0, 3))
    if not len(points) or not (np.abs(points) < _FARTHEST).all():
        raise InputError(f"{path}: no landmarks of three numbers each; give a line x,y,z for each landmark")
    return points


def _picked(text: str) -> list[list[str]]:
    """MeshLab's points; the file is XML, of which no more than these marks is understood."""
    marks = _POINT.findall(text)
    return [[found[1] if (found := place.search(mark)) else "" for place in _PLACE.values()] for mark in marks]


def _vertices(text: str) -> list[list[str]]:
    return [line.split()[1:4] for line in text.splitlines() if line.startswith("v ")]


def _lines(text: str) -> list[list[str]]:
    rows = [line.replace(",", " ").replace(";", " ").split() for line in text.splitlines() if line.strip()]
    return rows[1:] if rows and not _is_number(rows[0][-1] if rows[0] else "") else rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
