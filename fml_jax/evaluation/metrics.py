"""Error measures: landmarks, colours, pose, shape and reflectance."""

import numpy as np


def landmark_error(landmarks: np.ndarray, reference: np.ndarray) -> float:
    """Normalised mean error: mean distance over √(w·h) of the reference landmarks' tight box.

    Args:
      landmarks, reference: [L, 2] pixels of the same picture.
    """
    return mean_distance(landmarks, reference) / box_size(reference)


def mean_distance(points: np.ndarray, reference: np.ndarray) -> float:
    """Mean Euclidean distance between corresponding rows."""
    return float(np.linalg.norm(np.asarray(points) - reference, axis=-1).mean())


def box_size(landmarks: np.ndarray) -> float:
    """√(w·h) of the tight box around landmarks [L, 2], pixels."""
    return float(np.sqrt(np.prod(np.ptp(np.asarray(landmarks), axis=0))))


def photometric_error(colours: np.ndarray, seen: np.ndarray, members: np.ndarray) -> float:
    """Mean Euclidean RGB distance, channels in [0, 1], over the vertices where `members` [N] is true."""
    members = np.asarray(members, bool)
    return float(np.linalg.norm(np.asarray(colours)[members] - np.asarray(seen)[members], axis=1).mean())


def similarity_aligned(
    points: np.ndarray, reference: np.ndarray, members: np.ndarray, *, scaled: bool = True
) -> np.ndarray:
    """Points [B, N, 3] after the similarity that brings them closest to the reference, one similarity for each of B.

    The distances are least squares over the points where `members` [N] is true. Without `scaled` the motion is rigid.
    """
    points, reference = np.asarray(points, float), np.asarray(reference, float)
    centres = (each[:, members].mean(axis=1, keepdims=True) for each in (points, reference))
    points_centre, reference_centre = centres
    points, target = points - points_centre, (reference - reference_centre)[:, members]
    source = points[:, members]
    left, stretch, right = np.linalg.svd(np.einsum("bnx,bny->bxy", source, target))
    stretch[:, 2] *= np.sign(np.linalg.det(left @ right))  # reflections are excluded
    left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
    scale = stretch.sum(axis=1) / (source**2).sum(axis=(1, 2)) if scaled else np.ones(len(source))
    return scale[:, None, None] * points @ (left @ right) + reference_centre


def geometry_error(points: np.ndarray, reference: np.ndarray, members: np.ndarray, *, scaled: bool = True) -> float:
    """Mean distance in mm between corresponding vertices where `members` [N] is true, of faces [B, N, 3].

    Each face is first aligned to its reference by a similarity: one photo determines neither size nor position. Without
    `scaled` the alignment is rigid.
    """
    gaps = similarity_aligned(points, reference, members, scaled=scaled) - reference
    return float(np.linalg.norm(gaps[:, members], axis=-1).mean())


def rotation_error(rotation: np.ndarray, reference: np.ndarray) -> float:
    """Angle between two rotation matrices, degrees."""
    cosine = (np.trace(np.asarray(rotation, float).T @ reference) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def displacement_error(modes: np.ndarray, code: np.ndarray, true: np.ndarray) -> float:
    """Mean displacement of vertices (or colours) between two codes [K] of modes [K, N, 3]."""
    moved = np.tensordot(np.asarray(code) - true, modes, axes=1)
    return float(np.linalg.norm(moved, axis=1).mean())
