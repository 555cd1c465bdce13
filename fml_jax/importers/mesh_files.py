"""Meshes of OBJ and PLY files, with their vertices in the files' order."""

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fml_jax.errors import InputError
from fml_jax.importers.raw_model import MOST_VERTICES, existing, one_line

MOST_BYTES = 256 * 2**20
# Rows of text take some twenty times their size while they are read: no more are kept than a face model may have.
_MOST_ROWS = 4 * MOST_VERTICES
_MOST_LINE = 10_000  # characters
_FARTHEST = 1e9  # in any unit: the squares of larger numbers do not fit into single precision
_MOST_CORNERS = 16  # of a polygon
_GREY_LEVELS = 255
_MOST_HEADER = 100  # lines of a PLY file's header
_PLY_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2"},
    **{"int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8"},
}


class MeshFile(NamedTuple):
    """A mesh; polygons are split into triangles around their first corner."""

    vertices: np.ndarray  # [N, 3]
    triangles: np.ndarray  # [T, 3]
    colours: np.ndarray | None = None  # [N, 3] in [0, 1]
    uv: np.ndarray | None = None  # [M, 2]
    uv_triangles: np.ndarray | None = None  # [T, 3]


def read_mesh(path: Path) -> MeshFile:
    """Reads an OBJ or PLY file.

    Raises:
      InputError: no such file, of another kind, too large, damaged, or without triangles.
    """
    size = existing(path, "mesh").stat().st_size
    if size > MOST_BYTES:
        raise InputError(f"{path}: {size // 2**20} MiB; meshes of up to {MOST_BYTES // 2**20} MiB are read")
    try:
        mesh = _read_ply(path) if path.suffix.lower() == ".ply" else _read_obj(path)
    except InputError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, StopIteration, OSError) as error:
        raise InputError(f"{path}: not a mesh that can be read ({one_line(error)}); check the file") from None
    if not (len(mesh.vertices) and len(mesh.triangles)) or len(mesh.vertices) > MOST_VERTICES:
        raise InputError(f"{path}: {len(mesh.vertices)} vertices, {len(mesh.triangles)} triangles; this is no face")
    if mesh.vertices.shape[1] != 3:
        raise InputError(f"{path}: its vertices have {mesh.vertices.shape[1]} coordinates, not 3; check the file")
    for array in (mesh.vertices, mesh.colours, mesh.uv):
        if array is not None and not (np.abs(array) < _FARTHEST).all():
            raise InputError(f"{path}: vertices, colours or texture coordinates that are not finite; check the file")
    if mesh.triangles.min() < 0 or mesh.triangles.max() >= len(mesh.vertices):
        raise InputError(f"{path}: its faces name vertices that it does not have; check the file")
    return mesh


def _read_obj(path: Path) -> MeshFile:
    vertices: list[list[str]] = []
    uv: list[list[str]] = []
    corners: list[list[int]] = []
    uv_corners: list[list[int]] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        while line := file.readline(_MOST_LINE):
            if len(line) == _MOST_LINE:
                raise ValueError("a line without an end")
            if max(len(vertices), len(uv), len(corners)) > _MOST_ROWS:
                raise ValueError(f"over {_MOST_ROWS} vertices or triangles")
            keyword, *values = line.split() or [""]
            if keyword == "v":
                vertices.append(values[:6])
            elif keyword == "vt":
                uv.append(values[:2])
            elif keyword == "f":
                _add_face(values, (corners, uv_corners), (len(vertices), len(uv)))
    wide = all(len(each) == 6 for each in vertices)
    numbers = np.array([each if wide else each[:3] for each in vertices], np.float64).reshape(len(vertices), -1)
    triangles = np.array(corners, np.int64).reshape(-1, 3)
    mesh = MeshFile(numbers[:, :3], triangles, _in_unit_range(numbers[:, 3:]) if wide and vertices else None)
    if len(uv_corners) == len(corners) and uv:
        uv_triangles = np.array(uv_corners, np.int64).reshape(-1, 3)
        if uv_triangles.size and not 0 <= uv_triangles.min() <= uv_triangles.max() < len(uv):
            raise ValueError("faces with texture coordinates that it does not have")
        mesh = mesh._replace(uv=np.array(uv, np.float64), uv_triangles=uv_triangles)
    return mesh


def _in_unit_range(colours):
    """Real numbers that some programs write in [0, 1], others in [0, 255]."""
    return colours / _GREY_LEVELS if colours.max(initial=0) > 1 else colours


def _add_face(values, tables, counts):
    """Adds a polygon's triangles to the tables of vertices and, where all corners have some, of texture coordinates."""
    if not 3 <= len(values) <= _MOST_CORNERS:
        raise ValueError(f"a face with {len(values)} corners")
    parts = [value.split("/") for value in values]
    for k, (table, count) in enumerate(zip(tables, counts, strict=True)):
        if all(len(part) > k and part[k] for part in parts):
            numbers = [int(part[k]) for part in parts]
            numbers = [n - 1 if n > 0 else count + n for n in numbers]
            table += [[numbers[0], numbers[j], numbers[j + 1]] for j in range(1, len(numbers) - 1)]


class _Element(NamedTuple):
    """An element of a PLY file: how many, and (name, type, type of the count where it is a list)."""

    size: int
    properties: list[tuple[str, str, str | None]]


def _read_ply(path: Path) -> MeshFile:
    content = path.read_bytes()
    form, elements, start = _ply_header(content)
    tables: Any = (_ascii_tables if form == "ascii" else _binary_tables)(content, elements, start, form)
    vertices, faces = tables["vertex"], tables["face"]
    colours = None
    if {"red", "green", "blue"} <= vertices.keys():
        colours = np.stack([vertices[name] for name in ("red", "green", "blue")], axis=1).astype(np.float64)
        colours = colours / _GREY_LEVELS if vertices["red"].dtype.kind in "iu" else _in_unit_range(colours)
    return MeshFile(np.stack([vertices[axis] for axis in "xyz"], axis=1).astype(np.float64), faces, colours)


def _ply_header(content):
    lines = iter(content[: 100 * _MOST_HEADER].split(b"\n")[:_MOST_HEADER])
    if next(lines).strip() != b"ply":
        raise ValueError("it does not begin with ply")
    form, start, elements = "", 4, {}
    position = content.index(b"\n") + 1
    for raw in lines:
        position += len(raw) + 1
        words = raw.decode("latin-1").split()
        if words[:1] == ["format"]:
            form = words[1]
        elif words[:1] == ["element"]:
            elements[words[1]] = _Element(int(words[2]), [])
        elif words[:2] == ["property", "list"]:
            elements[list(elements)[-1]].properties.append((words[4], _PLY_TYPES[words[3]], _PLY_TYPES[words[2]]))
        elif words[:1] == ["property"]:
            elements[list(elements)[-1]].properties.append((words[2], _PLY_TYPES[words[1]], None))
        elif words == ["end_header"]:
            start = position
            break
    else:
        raise ValueError("its header does not end")
    if form not in ("ascii", "binary_little_endian", "binary_big_endian"):
        raise ValueError(f"format {form!r}")
    if not {"vertex", "face"} <= elements.keys():
        raise ValueError("it lacks vertices or faces")
    for name, element in elements.items():
        if not 0 <= element.size <= min(len(content), _MOST_ROWS):
            raise ValueError(f"{element.size} elements {name!r} in {len(content)} bytes")
        if (name == "face") != any(count for *_, count in element.properties):
            raise ValueError("lists are those of its faces' corners alone, and it has these")
    return form, elements, start


def _fans(rows):
    """Triangles of polygons."""
    triangles = [[row[0], row[j], row[j + 1]] for row in rows for j in range(1, len(row) - 1)]
    return np.array(triangles, np.int64).reshape(-1, 3)


def _ascii_tables(content, elements, start, form):
    lines, tables = io.BytesIO(content[start:]), {}
    for name, element in elements.items():
        rows = [_row(lines) for _ in range(element.size)]
        if name == "vertex":
            names = [each[0] for each in element.properties]
            columns = np.array([row[: len(names)] for row in rows], np.float64).reshape(len(rows), len(names))
            types = [each[1] for each in element.properties]
            tables[name] = {
                each: column.astype(kind) for each, kind, column in zip(names, types, columns.T, strict=True)
            }
        elif name == "face":
            polygons = []
            for row in rows:
                count = int(row[0])
                if not 3 <= count <= _MOST_CORNERS or len(row) <= count:
                    raise ValueError(f"a face with {count} corners")
                polygons.append([int(number) for number in row[1 : 1 + count]])
            tables[name] = _fans(polygons)
    return tables


def _row(lines):
    line = lines.readline(_MOST_LINE)
    if not line or len(line) == _MOST_LINE:
        raise ValueError("a line without an end")
    return line.decode("latin-1").split()


def _binary_tables(content, elements, start, form):
    order, tables = ("<" if form == "binary_little_endian" else ">"), {}
    for name, element in elements.items():
        if not any(count for *_, count in element.properties):
            kind = np.dtype([(each, order + kind) for each, kind, _ in element.properties])
            rows = np.frombuffer(content, kind, element.size, start)
            start += rows.nbytes
            tables[name] = {each: rows[each] for each in kind.names or ()}
        else:
            polygons, start = _binary_faces(content, element, start, order)
            tables[name] = _fans(polygons)
    return tables


def _binary_faces(content, element, start, order):
    polygons = []
    for _ in range(element.size):
        for name, kind, count_kind in element.properties:
            if count_kind is None:
                start += np.dtype(kind).itemsize
                continue
            count = int(np.frombuffer(content, order + count_kind, 1, start)[0])
            start += np.dtype(count_kind).itemsize
            of_corners = name in ("vertex_indices", "vertex_index")
            if not (3 if of_corners else 0) <= count <= _MOST_CORNERS:
                raise ValueError(f"a face with {count} corners")
            row = np.frombuffer(content, order + kind, count, start)
            start += row.nbytes
            if of_corners:
                polygons.append(row.tolist())
    return polygons, start
