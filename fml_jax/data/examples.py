"""From a photo to a training example, or to the reason why it makes none: a pure function of photo and settings."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.data.confidence import landmark_confidence
from fml_jax.data.crops import apply_affine, compose_affines, crop_from_landmarks, crop_from_photo, crop_photo
from fml_jax.data.crops import invert_affine
from fml_jax.data.detection import detect_faces
from fml_jax.data.landmarks import detect_mesh, ibug68
from fml_jax.data.quality import face_stats
from fml_jax.data.records import Example
from fml_jax.data.windows import WINDOW_SIZE, shown_by_photo, window_affine

DETECTORS = ("haar", "haar+mediapipe", "mediapipe")
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Settings:
    """What is kept. Every threshold at its loosest (0, or None) rejects nothing."""

    # Who frames the crop: Haar's box; MediaPipe's landmarks where Haar has none on the face; these alone.
    detector: str = "haar+mediapipe"
    min_size: float = 40.0  # √(w·h) of the landmarks' box, photo pixels
    min_sharpness: float = 5.0  # see `records.Stats`
    min_brightness: float = 35.0
    max_brightness: float = 230.0
    min_confidence: float = 0.45  # mean over the 68 landmarks
    off_centre: float | None = None  # in photo sides: faces farther from the middle may be a bystander's
    duplicate_bits: int | None = 16  # of 128: photos whose fingerprints differ by no more are near-copies; None keeps all


class Rejected(NamedTuple):
    """Why a photo makes no example."""

    reason: str  # one of REASONS
    detail: str


REASONS = (
    "unreadable",
    "no face",
    "box misses landmarks",
    "another face than annotated",
    "face off centre",
    "too small",
    "too dark",
    "too bright",
    "too blurred",
    "low confidence",
    "near-duplicate",
)


def make_example(
    rgb: UInt8[np.ndarray, "H W 3"],
    settings: Settings = Settings(),
    *,
    name: str = "",
    source: str = "",
    person: str = "",
    annotated: Box | None = None,
) -> Example | Rejected:
    """The example of a photo's main face, or of the face at an annotated place.

    Args:
      annotated: x0, y0, x1, y1 about the face that is meant, photo pixels.
    """
    boxes = [] if settings.detector == "mediapipe" else [face.box for face in detect_faces(rgb)]
    mesh = _find_mesh(rgb, boxes, annotated, settings.off_centre)
    if mesh is None:
        return Rejected("no face", f"{len(boxes)} boxes, none with landmarks" if boxes else "neither box nor landmarks")
    points = ibug68(mesh[:, :2])
    box = next((box for box in boxes if shows_face(box, points)), None)
    if box is None and settings.detector == "haar":
        return Rejected("box misses landmarks" if boxes else "no face", f"{len(boxes)} boxes")
    if rejected := _misplaced(points, rgb.shape, annotated, settings):
        return rejected
    stats = face_stats(rgb, mesh)
    if rejected := _poor(stats, settings):
        return rejected
    confidence = landmark_confidence(rgb, points)
    if confidence.mean() < settings.min_confidence:
        return Rejected("low confidence", f"{confidence.mean():.2f} on average, wanted {settings.min_confidence:g}")
    crop = crop_from_landmarks(points) if box is None else crop_from_photo(box)
    to_window = window_affine(crop, rgb.shape)
    window = crop_photo(rgb, to_window, WINDOW_SIZE)
    in_window = apply_affine(to_window, mesh[:, :2])
    return Example(
        name=name,
        source=source,
        person=person,
        window=window,
        valid=shown_by_photo(window, to_window, rgb.shape),
        to_photo=invert_affine(to_window),
        crop=compose_affines(crop, invert_affine(to_window)),
        landmarks68=ibug68(in_window).astype(np.float32),
        confidence=confidence,
        landmarks478=np.column_stack([in_window, to_window[0, 0] * mesh[:, 2]]).astype(np.float32),
        from_detector=box is not None,
        stats=stats,
    )


def shows_face(box: Box, landmarks68: Float[np.ndarray, "68 2"]) -> bool:
    """Whether a detector's box shows the face with these landmarks: half a side off at most, scale within 2."""
    low, high = landmarks68.min(axis=0), landmarks68.max(axis=0)
    side = math.sqrt(np.prod(high - low))
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    return bool(np.abs(centre - (low + high) / 2).max() < side / 2 and 0.5 < (box[2] - box[0]) / side < 2)


def _find_mesh(rgb, boxes, annotated, off_centre):
    """MediaPipe's points of the face that is meant: the annotated one, or the one in the middle where such are
    wanted, or the largest. MediaPipe may prefer another, or overlook it in a large photo; then it is shown that part."""
    if annotated is not None:
        return detect_mesh(rgb, annotated)
    mesh = detect_mesh(rgb)
    meant = _meant_box(boxes, rgb.shape, off_centre)
    if meant is None or (mesh is not None and shows_face(meant, ibug68(mesh[:, :2]))):
        return mesh
    nearer = detect_mesh(rgb, meant)
    return mesh if nearer is None else nearer


def _meant_box(boxes, shape, off_centre) -> Box | None:
    if off_centre is None:
        return boxes[0] if boxes else None
    height, width = shape[:2]
    middle = (width / 4, height / 4, 3 * width / 4, 3 * height / 4)
    return min(boxes, key=lambda box: _from_middle(np.reshape(box, (2, 2)), shape), default=middle)


def _from_middle(points, shape) -> float:
    """How far the middle of the points' box is from the photo's, in parts of its shorter side."""
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    return float(np.linalg.norm(centre - (np.array(shape[1::-1]) - 1) / 2)) / min(shape[:2])


def _misplaced(points, shape, annotated, settings) -> Rejected | None:
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    if annotated is not None:
        x0, y0, x1, y1 = annotated
        if not (x0 <= centre[0] <= x1 and y0 <= centre[1] <= y1):
            return Rejected("another face than annotated", f"at {centre.round().astype(int).tolist()}")
    if settings.off_centre is not None:
        distance = _from_middle(points, shape)
        if distance > settings.off_centre:
            return Rejected("face off centre", f"{distance:.2f} photo sides, allowed {settings.off_centre:g}")
    return None


def _poor(stats, settings) -> Rejected | None:
    for reason, value, too_low, limit in (  # dark pictures have no contrast either: light comes first
        ("too small", stats.size, True, settings.min_size),
        ("too dark", stats.brightness, True, settings.min_brightness),
        ("too bright", stats.brightness, False, settings.max_brightness),
        ("too blurred", stats.sharpness, True, settings.min_sharpness),
    ):
        if value < limit if too_low else value > limit:
            return Rejected(reason, f"{value:.1f}, wanted {'at least' if too_low else 'at most'} {limit:g}")
    return None
