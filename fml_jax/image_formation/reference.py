"""A slow reference implementation of the image formation: NumPy, float64, one vertex at a time.

Only tests use it. It follows the paper's section 5 literally, without regard to speed. Tests compare
`points.py` with it, in value and (by finite differences) in gradient.
"""

import math

import numpy as np

from fml_jax.image_formation.camera import CROP_SIZE, FOCAL_IN_CROP_WIDTHS, NEAREST


def rotation_matrix(axis_angle: np.ndarray) -> np.ndarray:
    """Rodrigues' formula; the identity at zero."""
    angle = math.sqrt(sum(component**2 for component in axis_angle))
    if angle == 0:
        return np.eye(3)
    x, y, z = np.asarray(axis_angle) / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def vertex_normal(i: int, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted mean of the normals of the triangles around vertex i; zero where there is no area."""
    total = np.zeros(3)
    for a, b, c in triangles:
        if i in (a, b, c):
            total += np.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])
    length = np.linalg.norm(total)
    return total / length if length > 0 else total


def project(position: np.ndarray) -> np.ndarray:
    """Π of one camera-space point."""
    x, y, z = position
    depth = max(z, NEAREST)
    centre = (CROP_SIZE - 1) / 2
    focal = FOCAL_IN_CROP_WIDTHS * CROP_SIZE
    return np.array([focal * x / depth + centre, focal * y / depth + centre])


def shade(normal: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """Σ_b γ_b H_b(n) for one normal, from the harmonics' own constants and the cosine lobe's A_l."""
    x, y, z = normal
    lobe = {0: math.pi, 1: 2 * math.pi / 3, 2: math.pi / 4}
    harmonics = [
        (0, 0.5 * math.sqrt(1 / math.pi)),
        (1, 0.5 * math.sqrt(3 / math.pi) * x),
        (1, 0.5 * math.sqrt(3 / math.pi) * y),
        (1, 0.5 * math.sqrt(3 / math.pi) * z),
        (2, 0.5 * math.sqrt(15 / math.pi) * x * y),
        (2, 0.5 * math.sqrt(15 / math.pi) * x * z),
        (2, 0.5 * math.sqrt(15 / math.pi) * y * z),
        (2, 0.25 * math.sqrt(15 / math.pi) * (x**2 - y**2)),
        (2, 0.25 * math.sqrt(5 / math.pi) * (3 * z**2 - 1)),
    ]
    unit = lobe[0] * harmonics[0][1]  # scaled so that the first coefficient is the mean irradiance
    weights = [lobe[band] * value / unit for band, value in harmonics]
    return np.asarray(weights) @ np.asarray(gamma)


def sample_bilinear(image: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """The image at one real position; outside, the nearest edge."""
    height, width = image.shape[:2]
    x, y = min(max(pixel[0], 0), width - 1), min(max(pixel[1], 0), height - 1)
    left, top = min(int(x), max(width - 2, 0)), min(int(y), max(height - 2, 0))
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    u, v = x - left, y - top
    upper = (1 - u) * image[top, left] + u * image[top, right]
    lower = (1 - u) * image[bottom, left] + u * image[bottom, right]
    return (1 - v) * upper + v * lower


def form_points(
    vertices: np.ndarray,
    triangles: np.ndarray,
    reflectance: np.ndarray,
    *,
    rotation: np.ndarray,
    translation: np.ndarray,
    gamma: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Positions, pixels, normals, visibility and colours of all vertices."""
    R = rotation_matrix(rotation)
    positions = np.array([R @ vertex + translation for vertex in vertices])
    normals = np.array([vertex_normal(i, positions, triangles) for i in range(len(positions))])
    pixels = np.array([project(position) for position in positions])
    colours = np.array([r * shade(n, gamma) for r, n in zip(reflectance, normals, strict=True)])
    visible = np.array([_visible(*row) for row in zip(positions, normals, pixels, strict=True)])
    return positions, pixels, normals, visible, colours


def _visible(position, normal, pixel):
    faces_camera = float(np.dot(position, normal)) < 0
    inside = all(0 <= coordinate <= CROP_SIZE - 1 for coordinate in pixel)
    return faces_camera and inside and position[2] > NEAREST
