"""Positions of MediaPipe's landmarks and of the face contour on the mesh, detected on renders of the model itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from fml_jax.face_model.surfaces import closest_on_surface, vertex_normals
from fml_jax.image_formation.plain_pictures import FIELD, Picture, View, render
from fml_jax.photos.landmarks import IBUG_FROM_MEDIAPIPE, detect_landmarks
from third_party.open_face_model.head_mesh import EYE, SKIN

LANDMARKS, IRISES, CONTOUR = 478, slice(468, 478), 17
CONTOUR_YAWS = np.arange(-75, 76, 15)
FRONTAL_YAW = 25  # renders up to here place the fixed landmarks
GRAZING = 0.3  # a landmark counts where the surface's normal keeps this cosine with the view
REACH = 0.05  # of the picture's width: how far off the mesh a contour point may be
OUTLIER = 3.0  # medians: detections farther off don't count in the refinement
STRIP = 7.0  # mm: candidates lie within this distance of the contours …
STRIP_YAW = 45  # … of yaws up to here, which cover the silhouettes beyond


class Sighting(NamedTuple):
    """A frontal head, as detected."""

    positions: np.ndarray  # [478, 3] on the mean head, NaN where unseen
    landmarks: np.ndarray  # [478, 2] detected, pixels
    pixels: np.ndarray  # [N, 2] of the mesh's vertices
    mm_per_pixel: float


class Head(NamedTuple):
    """A head to look at: its shape and reflectance on the standard mesh, and from where."""

    vertices: np.ndarray  # [N, 3]
    colours: np.ndarray  # [N, 3]
    view: View
    light: np.ndarray  # [3]


@dataclass(frozen=True)
class Surface:
    """The standard mesh of the mean head."""

    vertices: np.ndarray  # [N, 3]
    triangles: np.ndarray  # [T, 3]
    parts: np.ndarray  # [T] SKIN, LINING or EYE

    def embed(self, points: np.ndarray, part: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest points of a part of the surface: vertices [K, 3] and weights [K, 3]."""
        return closest_on_surface(points, self.vertices, self.triangles[self.parts == part])


@dataclass(frozen=True)
class Embedding:
    """Landmarks on the standard mesh."""

    vertices: np.ndarray  # [478, 3]
    weights: np.ndarray  # [478, 3]
    contour_yaws: np.ndarray  # [Y] degrees
    contour_vertices: np.ndarray  # [Y, 17, 3]
    contour_weights: np.ndarray  # [Y, 17, 3]
    contour_candidates: np.ndarray  # [K]
    seen: int  # renders in which MediaPipe saw the face
    shown: int
    errors: tuple[float, float]  # mm, mean distance of frontal detections: of the medians, and refined


def first_landmarks(surface: Surface, colours: np.ndarray) -> np.ndarray:
    """[478, 3]: MediaPipe's points on the mean head, from one picture: enough to know where brows and lips are."""
    positions, _ = seen_landmarks(surface, colours)
    missing = ~np.isfinite(positions).all(1)
    positions[missing] = np.nanmean(positions, axis=0)
    return _symmetrised(positions, _mirror_numbers(positions))


def seen_landmarks(surface: Surface, colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MediaPipe's points [478, 3] and the contour [17, 3] on a head, from one picture; NaN where no surface is seen."""
    head = Head(surface.vertices, colours, View(size=512), np.array([-0.25, 0.4, 0.9]))
    picture = _draw(surface, head)
    landmarks = detect_landmarks(picture.image)
    if landmarks is None:
        raise RuntimeError("the landmark detector does not see the mean head as a face")
    return _visible(surface, head, picture, landmarks), _contour(surface, head, picture, landmarks)


def embed_landmarks(surface: Surface, heads: Iterator[Head]) -> Embedding:
    """Detects landmarks on renders, takes robust medians of where they rest on the mean head, and refines them."""
    frontal, seen, shown = [], 0, 0
    contours: dict = {yaw: [] for yaw in CONTOUR_YAWS}
    for head in heads:
        shown += 1
        picture = _draw(surface, head)
        landmarks = detect_landmarks(picture.image)
        if landmarks is None:
            continue
        seen += 1
        if abs(head.view.yaw) <= FRONTAL_YAW:
            pixels = head.view.project(head.vertices)[0].astype(np.float32)
            frontal.append(
                Sighting(_visible(surface, head, picture, landmarks), landmarks, pixels, FIELD / head.view.size)
            )
        nearest = CONTOUR_YAWS[np.abs(CONTOUR_YAWS - head.view.yaw).argmin()]
        contours[nearest].append(_contour(surface, head, picture, landmarks))
    fixed = np.nanmedian([sighting.positions for sighting in frontal], axis=0)
    vertices, weights, errors = _refine(surface, fixed, frontal)
    lines = _contours_by_yaw(contours)
    line_vertices, line_weights = surface.embed(lines.reshape(-1, 3), SKIN)
    shape = (len(lines), CONTOUR, 3)
    return Embedding(
        vertices,
        weights,
        CONTOUR_YAWS.astype(np.float32),
        line_vertices.reshape(shape),
        line_weights.reshape(shape),
        _strip(surface, lines),
        seen,
        shown,
        errors,
    )


def _refine(surface, fixed, sightings, rounds=3):
    """Moves landmarks along the surface to where the detections' squared distance is least.

    Returns their vertices and weights, and the mean distance before and after, mm.
    """
    mirror = _mirror_numbers(fixed)
    fixed = _symmetrised(fixed, mirror)
    errors = []
    for _ in range(rounds):
        vertices, weights = _on_skin_and_eyes(surface, fixed)
        step, error = _gauss_newton_step(vertices, weights, sightings)
        errors.append(error)
        moved = ((weights + step)[..., None] * surface.vertices[vertices]).sum(1)
        fixed = _symmetrised(moved, mirror)
    vertices, weights = _on_skin_and_eyes(surface, fixed)
    return vertices, weights, (errors[0], _gauss_newton_step(vertices, weights, sightings)[1])


def _gauss_newton_step(vertices, weights, sightings):
    """Change of weights [478, 3] that reduces squared pixel distances, without outliers; and the mean distance, mm."""
    corners = np.stack([sighting.pixels[vertices] for sighting in sightings]).astype(float)  # [S, 478, 3, 2]
    residual = np.stack([sighting.landmarks for sighting in sightings]) - (corners * weights[..., None]).sum(2)
    distance = np.linalg.norm(residual, axis=-1)
    kept = (distance < OUTLIER * np.median(distance, axis=0))[..., None, None]
    edges = (corners[:, :, 1:] - corners[:, :, :1]) * kept  # [S, 478, 2, 2]
    normal = np.einsum("slij,slkj->lik", edges, edges)
    ridge = 0.1 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(2)
    solved = np.linalg.solve(normal + ridge, np.einsum("slij,slj->li", edges, residual)[..., None])[..., 0]
    step = np.concatenate([-solved.sum(1, keepdims=True), solved], axis=1)
    return step, float(distance.mean() * sightings[0].mm_per_pixel)


def _on_skin_and_eyes(surface, points):
    vertices, weights = surface.embed(points, SKIN)
    vertices[IRISES], weights[IRISES] = surface.embed(points[IRISES], EYE)
    return vertices, weights


def _draw(surface, head) -> Picture:
    return render(head.vertices, surface.triangles, head.colours, view=head.view, light=head.light)


def _visible(surface, head, picture, landmarks):
    """[478, 3] on the mean head, NaN where off the mesh or grazing."""
    positions, cosine = _transport(surface, head, picture, landmarks)
    positions[cosine < GRAZING] = np.nan
    return positions


def _contour(surface, head, picture, landmarks):
    """[17, 3] on the mean head: the contour, drawn to the silhouette where it was detected off it."""
    inside = picture.triangle_index >= 0
    distance, nearest = distance_transform_edt(~inside, return_indices=True)
    x, y = _rounded(landmarks[IBUG_FROM_MEDIAPIPE[:CONTOUR]], head.view.size)
    drawn = np.stack([nearest[1, y, x], nearest[0, y, x]], axis=1)
    positions, _ = _transport(surface, head, picture, drawn)
    positions[distance[y, x] > REACH * head.view.size] = np.nan
    return positions


def _transport(surface, head, picture, pixels):
    """What is seen at pixels, carried to the mean head [K, 3], and its normal's cosine with the view [K]."""
    x, y = _rounded(pixels, head.view.size)
    triangle = picture.triangle_index[y, x]
    corners = surface.triangles[triangle]
    weights = picture.barycentric[y, x][..., None]
    positions = (surface.vertices[corners] * weights).sum(1)
    normals = vertex_normals(head.vertices, surface.triangles) @ head.view.rotation().T
    cosine = (normals[corners] * weights).sum(1)[:, 2]
    positions[triangle < 0] = np.nan
    return positions, cosine


def _rounded(pixels, size):
    return np.clip(np.rint(pixels).astype(int), 0, size - 1).T


def _contours_by_yaw(contours):
    """[Y, 17, 3]: medians over a yaw and the mirrored opposite one; where there is none, the neighbour's."""
    lines = np.full((len(CONTOUR_YAWS), CONTOUR, 3), np.nan)
    for row, yaw in enumerate(CONTOUR_YAWS):
        both = contours[yaw] + [(line * [-1, 1, 1])[::-1] for line in contours[-yaw]]
        if both:
            lines[row] = np.nanmedian(both, axis=0)
    for row in range(len(lines) // 2 + 1, len(lines)):  # outwards from the front
        lines[row] = np.where(np.isfinite(lines[row]), lines[row], lines[row - 1])
        lines[-1 - row] = np.where(np.isfinite(lines[-1 - row]), lines[-1 - row], lines[-row])
    return lines


def _strip(surface, lines):
    """Skin vertices near the contours."""
    lines = lines[np.abs(CONTOUR_YAWS) <= STRIP_YAW]
    skin = np.unique(surface.triangles[surface.parts == SKIN])
    dense = np.concatenate([(1 - t) * lines[:, :-1] + t * lines[:, 1:] for t in np.linspace(0, 1, 5)])
    distance = cKDTree(dense.reshape(-1, 3)).query(surface.vertices[skin])[0]
    return skin[distance < STRIP]


def _mirror_numbers(points):
    """[478]: each landmark's partner on the other side."""
    cost = np.linalg.norm(points[:, None] - points * [-1, 1, 1], axis=-1)
    cost = cost + cost.T
    return linear_sum_assignment(cost)[1]


def _symmetrised(points, mirror):
    return (points + points[mirror] * [-1, 1, 1]) / 2
