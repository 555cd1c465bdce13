"""Pictures of a face model alone, without a photo: plain NumPy, one light, the face in the middle."""

from typing import NamedTuple

import numpy as np

from fml_jax.face_model.surfaces import vertex_normals
from fml_jax.image_formation.raster import interpolate, rasterize

FOCAL = 4.5  # picture widths
FIELD = 270.0  # mm across the picture at the head's centre


class View(NamedTuple):
    """A camera in front of a head that turns by yaw (to the subject's left) and pitch (down), degrees."""

    yaw: float = 0.0
    pitch: float = 0.0
    size: int = 320

    def rotation(self) -> np.ndarray:
        """[3, 3], model to camera axes with y still up and z towards the camera."""
        yaw, pitch = np.radians([self.yaw, self.pitch])
        around_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        around_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        return around_x @ around_y

    def project(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [N, 2] and depth [N] mm of model points."""
        turned = vertices @ self.rotation().T
        depth = FOCAL * FIELD - turned[:, 2]
        focal = FOCAL * self.size
        across = focal * turned[:, :2] / depth[:, None] * [1, -1]
        return across + (self.size - 1) / 2, depth


_FRONT = View()


class Picture(NamedTuple):
    """A rendered head, and what is seen where."""

    image: np.ndarray  # [H, W, 3] uint8
    triangle_index: np.ndarray  # [H, W]
    barycentric: np.ndarray  # [H, W, 3]


def render(
    vertices: np.ndarray,
    triangles: np.ndarray,
    colours: np.ndarray,
    *,
    view: View = _FRONT,
    light: tuple[float, float, float] | np.ndarray = (-0.25, 0.4, 0.9),
    ambient: float = 0.45,
    background: float = 0.42,
) -> Picture:
    """Draws a head with a directional light (camera axes, y up, z to the camera) and an ambient one."""
    pixels, depth = view.project(vertices)
    triangle_index, barycentric = rasterize(pixels, depth, triangles, height=view.size, width=view.size)
    normals = vertex_normals(vertices, triangles) @ view.rotation().T
    direction = np.asarray(light) / np.linalg.norm(light)
    shading = ambient + (1.15 - ambient) * np.maximum(normals @ direction, 0) + 0.08 * normals[:, 1]
    lit = np.clip(colours * shading[:, None], 0, 1).astype(np.float32)
    shaded = interpolate(lit, triangles, (triangle_index, barycentric))
    image = np.where((triangle_index >= 0)[..., None], shaded, background)
    return Picture((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8), triangle_index, barycentric)


def sheet(images: list[np.ndarray], columns: int) -> np.ndarray:
    """Pictures of one size in rows of `columns`."""
    rows = [np.concatenate(images[k : k + columns], axis=1) for k in range(0, len(images), columns)]
    return np.concatenate(rows, axis=0)
