"""Meshes as OBJ and PLY."""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from fml_jax.ops.images import eight_bits

MATERIAL = "face"


def write_obj(
    path: Path,
    vertices: Float[np.ndarray, "N 3"],
    triangles: Int[np.ndarray, "T 3"],
    *,
    uv: Float[np.ndarray, "M 2"],
    uv_triangles: Int[np.ndarray, "T 3"],
    colours: Float[np.ndarray, "N 3"],
    normals: Float[np.ndarray, "N 3"],
    material_file: str | None = None,
) -> None:
    """Wavefront OBJ with texture coordinates, normals, colours and, if a file of it is given, the material `MATERIAL`.

    The colours follow each vertex's position (`v x y z r g b`), which most programs read although the format's first
    description does not have it.

    Args:
      vertices: mm.
      triangles: indices of vertices, counter-clockwise seen from outside.
      uv: texture coordinates, v up.
      uv_triangles: the index into `uv` at each corner of `triangles`.
      colours: sRGB-encoded, clipped to [0, 1].
      normals: unit vectors that point outwards.
      material_file: the name of a file that `write_material` writes into the same folder.

    Raises:
      OSError: the file cannot be written.
    """
    points = np.concatenate([vertices, np.clip(colours, 0, 1)], axis=1)
    corners = np.stack([triangles, uv_triangles, triangles], axis=-1).reshape(len(triangles), 9) + 1
    with open(path, "wb") as file:
        file.write(b"" if material_file is None else b"mtllib %s\n" % os.fsencode(material_file))
        file.write(_lines("v %.4f %.4f %.4f %.4f %.4f %.4f\n", points))
        file.write(_lines("vt %.6f %.6f\n", uv))
        file.write(_lines("vn %.4f %.4f %.4f\n", normals))
        file.write(b"" if material_file is None else b"usemtl %s\n" % MATERIAL.encode())
        file.write(_lines("f %d/%d/%d %d/%d/%d %d/%d/%d\n", corners))


def write_material(path: Path, *, texture: str) -> None:
    """The material of an OBJ: a rough surface with the colours of a texture.

    Args:
      texture: the name of a picture in the same folder.

    Raises:
      OSError: the file cannot be written.
    """
    lines = [f"newmtl {MATERIAL}", "Ka 1 1 1", "Kd 1 1 1", "Ks 0.1 0.1 0.1", "Ns 20", "illum 2", ""]
    path.write_bytes("\n".join(lines).encode("ascii") + b"map_Kd %s\n" % os.fsencode(texture))


def write_ply(
    path: Path,
    vertices: Float[np.ndarray, "N 3"],
    triangles: Int[np.ndarray, "T 3"],
    *,
    colours: Float[np.ndarray, "N 3"],
) -> None:
    """Binary PLY with a colour at each vertex.

    Args:
      vertices: mm.
      triangles: indices of vertices.
      colours: sRGB-encoded, clipped to [0, 1] and stored in 8 bits.

    Raises:
      OSError: the file cannot be written.
    """
    rows = np.empty(len(vertices), [("position", "<f4", 3), ("colour", "u1", 3)])
    rows["position"] = vertices
    rows["colour"] = eight_bits(np.asarray(colours))
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


def _lines(form: str, rows: np.ndarray) -> bytes:
    """One line for each row; a single formatting is several times as fast as one for each row."""
    return (form * len(rows) % tuple(np.asarray(rows).ravel().tolist())).encode("ascii")
