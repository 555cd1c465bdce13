"""Makes the training example of a photo, or gives the reason for its rejection."""

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.corpus.quality import face_stats
from fml_jax.corpus.records import Example
from fml_jax.corpus.target_face import Box, TargetFace, shows_face
from fml_jax.corpus.windows import WINDOW_SIZE, shown_by_photo, window_affine
from fml_jax.photos.boxes import Detection
from fml_jax.photos.crops import (
    apply_affine,
    compose_affines,
    crop_from_landmarks,
    crop_from_photo,
    crop_photo,
    invert_affine,
    square_crop,
)
from fml_jax.photos.haar import detect_faces_with_haar
from fml_jax.photos.landmark_confidence import landmark_confidence
from fml_jax.photos.landmarks import ibug68
from fml_jax.photos.libfacedetection import detect_faces_with_libfacedetection
from fml_jax.photos.yunet import detect_faces_with_yunet

# The detector whose box frames the crop; after a +, the one that is used where the first has no box on the face.
# MediaPipe's box is that of its landmarks.
DETECTORS = (
    "libfacedetection",
    "libfacedetection+mediapipe",
    "haar",
    "haar+mediapipe",
    "haar+yunet",
    "mediapipe",
    "yunet",
)
DETECT = {
    "libfacedetection": detect_faces_with_libfacedetection,
    "haar": detect_faces_with_haar,
    "yunet": detect_faces_with_yunet,
}
LYING = math.radians(30)  # faces that lean by more are turned upright, because MediaPipe misses them


@dataclass(frozen=True)
class Settings:
    """Which photos are kept. A threshold of 0 or None rejects nothing."""

    detector: str = "libfacedetection+mediapipe"  # one of DETECTORS
    min_size: float = 40.0  # √(w·h) of the landmarks' box, photo pixels
    min_sharpness: float = 5.0  # see `records.Stats`
    min_brightness: float = 35.0
    max_brightness: float = 230.0
    min_confidence: float = 0.45  # mean over the 68 landmarks
    # A face that is farther from the middle of the photo, in photo sides, and does not cover the middle is rejected:
    # it may be a bystander's.
    off_centre: float | None = None
    duplicate_bits: int | None = 16  # photos whose fingerprints differ in at most so many of 128 bits are near-copies


class Rejected(NamedTuple):
    """The reason why a photo makes no example."""

    reason: str  # one of REASONS
    detail: str


REASONS = (
    "unreadable",
    "no face",
    "no landmarks",
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
    reference68: Float[np.ndarray, "68 2"] | None = None,
) -> Example | Rejected:
    """The example of a photo's main face, or of the face at an annotated place.

    Args:
      name, source, person: see `records.Example`.
      annotated: x0, y0, x1, y1 about the target face, photo pixels.
      reference68: the collection's own landmarks of the target face, in iBUG's order, photo pixels. They are stored
        beside the detected ones.
    """
    faces = _Faces(rgb)
    roll = _target_roll(faces.first_of(settings.detector), annotated)
    if abs(roll) <= LYING:
        return _made(rgb, faces, settings, name, source, person, annotated, reference68)
    upright, turn = turned_upright(rgb, roll)
    if annotated is not None:
        annotated = _about_corners(annotated, turn)
    if reference68 is not None:
        reference68 = apply_affine(turn, reference68)
    made = _made(upright, _Faces(upright), settings, name, source, person, annotated, reference68)
    if isinstance(made, Rejected):
        return made
    return dataclasses.replace(made, to_photo=compose_affines(invert_affine(turn), made.to_photo))


class _Faces:
    """What the detectors find in a photo, each of them run once at most."""

    def __init__(self, rgb: UInt8[np.ndarray, "H W 3"]) -> None:
        self.of = functools.cache(lambda name: DETECT[name](rgb) if name in DETECT else [])

    def first_of(self, detectors: str) -> list[Detection]:
        """Of detectors whose names are joined by +, what the first one finds that finds anything."""
        return next(filter(None, map(self.of, detectors.split("+"))), [])

    def boxes_of(self, name: str) -> list[Box]:
        return [face.box for face in self.of(name)]


def turned_upright(
    rgb: UInt8[np.ndarray, "H W 3"], roll: float
) -> tuple[UInt8[np.ndarray, "S S 3"], Float[np.ndarray, "2 3"]]:
    """A photo turned so that a head that leans clockwise by `roll` radians is upright, in a square that holds it,
    and the affine from photo pixels to that square's. Beyond the photo the square is black.
    """
    side = math.ceil(math.hypot(*rgb.shape[:2]))
    affine = square_crop((np.array(rgb.shape[1::-1]) - 1) / 2, side, roll, size=side)
    return cv2.warpAffine(rgb, affine, (side, side), flags=cv2.INTER_LINEAR), affine


def _target_roll(faces: list[Detection], annotated: Box | None) -> float:
    """Of the annotated face, or the largest, radians."""
    if annotated is not None:
        middle = np.reshape(annotated, (2, 2)).mean(axis=0)
        faces = [face for face in faces if (middle > face.box[:2]).all() and (middle < face.box[2:]).all()]
    return faces[0].roll if faces else 0.0


def _about_corners(box: Box, affine: Float[np.ndarray, "2 3"]) -> Box:
    x0, y0, x1, y1 = box
    corners = apply_affine(affine, np.array([[x0, y0], [x1, y0], [x0, y1], [x1, y1]]))
    return (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())


def _made(rgb, found: _Faces, settings, name, source, person, annotated, reference68) -> Example | Rejected:
    """As `make_example`, of a photo with its face upright."""
    names, faces = settings.detector.split("+"), found.first_of(settings.detector)
    boxes = [face.box for face in faces]
    face = TargetFace(rgb.shape, boxes, annotated, settings.off_centre)
    mesh = face.find(rgb)
    if mesh is None:
        return (
            Rejected("no landmarks", f"in {len(boxes)} boxes")
            if boxes
            else Rejected("no face", "neither box nor landmarks")
        )
    points = ibug68(mesh[:, :2])
    box = next((box for name in names for box in found.boxes_of(name) if shows_face(box, points)), None)
    if box is None and "mediapipe" not in names:
        return Rejected("box misses landmarks" if boxes else "no face", f"{len(boxes)} boxes")
    if (annotated is not None or settings.off_centre is not None) and not face.has(points):
        return _misplaced(face, points)
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
        reference68=None if reference68 is None else apply_affine(to_window, reference68).astype(np.float32),
    )


def _misplaced(face, points) -> Rejected:
    """The reason for landmarks that are not those of the target face."""
    if face.annotated is not None:
        return Rejected("another face than annotated", "landmarks are found beside the annotation only")
    detail = f"landmarks are found {face.distance(points):.2f} photo sides from the middle only"
    return Rejected("box misses landmarks" if face.is_in_a_box() else "face off centre", detail)


def _poor(stats, settings) -> Rejected | None:
    for reason, value, too_low, limit in (  # brightness before sharpness: dark pictures have no contrast either
        ("too small", stats.size, True, settings.min_size),
        ("too dark", stats.brightness, True, settings.min_brightness),
        ("too bright", stats.brightness, False, settings.max_brightness),
        ("too blurred", stats.sharpness, True, settings.min_sharpness),
    ):
        if value < limit if too_low else value > limit:
            return Rejected(reason, f"{value:.1f}, wanted {'at least' if too_low else 'at most'} {limit:g}")
    return None
