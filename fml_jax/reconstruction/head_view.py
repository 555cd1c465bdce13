"""A reconstructed head with the inside of its mouth, as the camera of its crop sees it: for pictures."""

from typing import Any, NamedTuple

import numpy as np

from fml_jax.face_model.topology import mesh_normals
from fml_jax.image_formation.camera import project
from fml_jax.image_formation.drawing import shown_on_photos
from fml_jax.image_formation.illumination import shading
from fml_jax.image_formation.parts import joined_rows, joined_triangles, parts_of, parts_vertices
from fml_jax.image_formation.rotation import rotation_matrices


class HeadView(NamedTuple):
    """V vertices in camera space: the head's own first, then those of teeth, tongue and the mouth's lining."""

    positions: np.ndarray  # [V, 3] mm
    pixels: np.ndarray  # [V, 2] pixels of the crop
    normals: np.ndarray  # [V, 3] unit; zero where a vertex has no area around it
    light: np.ndarray  # [V, 3], the shading
    reflectance: np.ndarray  # [V, 3], of parts as little as the mouth leaves light for
    shade: np.ndarray  # [V, 1], the share of the light that reaches a vertex: 1 outside the mouth
    shown: np.ndarray  # [V, 1], 1 where a picture over the photo shows the mesh
    triangles: np.ndarray  # [T, 3]


def head_view(face: Any) -> HeadView:
    """The view of a `Reconstruction`."""
    vertices, triangles = np.asarray(face.vertices), np.asarray(face.triangles)
    normals, skin = mesh_normals(triangles, vertices), np.asarray(face.reflectance)
    shade, shown = np.ones((len(vertices), 1), np.float32), shown_on_photos(face.model)
    parts = parts_of(face.model)
    if parts is not None:
        inner, own_shade = parts_vertices(parts, face.code), np.asarray(parts.shade)[:, None]
        triangles = joined_triangles(len(vertices), triangles, parts)
        normals = joined_rows(normals, mesh_normals(parts.triangles, inner))
        vertices, shade = joined_rows(vertices, inner), joined_rows(shade, own_shade)
        skin = joined_rows(skin, own_shade * np.asarray(parts.reflectance))
        shown = joined_rows(shown, np.zeros((len(inner), 1), np.float32))
    turn, gamma = rotation_matrices(face.code.rotation), np.asarray(face.code.illumination)
    positions, normals = vertices @ turn.T + np.asarray(face.code.translation), normals @ turn.T
    return HeadView(
        positions,
        project(positions),
        normals,
        shading(normals, gamma),
        skin,
        shade=shade,
        shown=shown,
        triangles=triangles,
    )
