"""Meshes as OBJ and PLY."""

from pathlib import Path

import numpy as np


def write_obj(
    path: Path, vertices: np.ndarray, triangles: np.ndarray, uv: np.ndarray, uv_triangles: np.ndarray
) -> None:
    """Wavefront OBJ with texture coordinates: vertices [N, 3] mm, uv [M, 2] with v up."""
    corners = np.stack([triangles, uv_triangles], axis=-1).reshape(len(triangles), 6) + 1
    with open(path, "w", encoding="ascii") as file:
        file.write(_lines("v %.4f %.4f %.4f\n", vertices))
        file.write(_lines("vt %.6f %.6f\n", uv))
        file.write(_lines("f %d/%d %d/%d %d/%d\n", corners))


def write_ply(path: Path, vertices: np.ndarray, triangles: np.ndarray, colours: np.ndarray) -> None:
    """Binary PLY with a colour at each vertex: colours [N, 3] in [0, 1], clipped."""
    rows = np.empty(len(vertices), [("position", "<f4", 3), ("colour", "u1", 3)])
    rows["position"] = vertices
    rows["colour"] = np.clip(np.asarray(colours) * 255 + 0.5, 0, 255)
    faces = np.empty(len(triangles), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, triangles
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(rows)}",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {channel}" for channel in ("red", "green", "blue")),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    with open(path, "wb") as file:
        file.write("\n".join(header).encode("ascii"))
        file.write(rows.tobytes())
        file.write(faces.tobytes())


def _lines(form: str, rows: np.ndarray) -> str:
    """One line a row; a single formatting is several times as fast as one for each row."""
    return form * len(rows) % tuple(np.asarray(rows).ravel().tolist())
