"""Which face of a photo is meant, and its landmarks.

MediaPipe may prefer a bystander, or overlook a face in a large photo; then it is shown the part about the
face that is meant.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.photos.landmarks import detect_mesh, ibug68

Box = tuple[float, float, float, float]  # x0, y0, x1, y1, photo pixels
NEARER = 0.7  # a second, closer view of a box leaves neighbours out


@dataclass(frozen=True)
class TargetFace:
    """The annotated face; else, where `off_centre` is set, the one in the middle; else the one in the largest box."""

    shape: tuple[int, ...]  # of the photo, height first
    boxes: list[Box]  # the detector's, largest first
    annotated: Box | None = None
    off_centre: float | None = None  # how far the face may be from the middle, in parts of the photo's shorter side

    def find(self, rgb: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "478 3"] | None:
        """MediaPipe's points of it; those of another face where no view shows it, None where none shows any."""
        other = None
        for view in self._views():
            mesh = detect_mesh(rgb, view)
            if mesh is not None and self.has(ibug68(mesh[:, :2])):
                return mesh
            other = mesh if other is None else other
        return other

    def has(self, landmarks68: Float[np.ndarray, "68 2"]) -> bool:
        """Whether these are its landmarks."""
        if self.annotated is not None:
            return _covers(self.annotated, _centre(landmarks68))
        if self.off_centre is None:
            return not self.boxes or shows_face(self.boxes[0], landmarks68)
        return self.distance(landmarks68) <= self.off_centre or _covers(_tight(landmarks68), self._middle())

    def distance(self, points: Float[np.ndarray, "n 2"]) -> float:
        """From the middle of the photo to that of the points' box, in parts of the photo's shorter side."""
        return float(np.linalg.norm(_centre(points) - self._middle())) / min(self.shape[:2])

    def is_in_a_box(self) -> bool:
        """Whether the detector sees a face in the photo's middle."""
        return any(_covers(box, self._middle()) for box in self.boxes)

    def _views(self) -> list[Box | None]:
        """Where to look for it, one after the other; None is the whole photo."""
        if self.annotated is not None:
            return [self.annotated, _nearer(self.annotated)]
        if self.off_centre is None:
            return [None, *(view for box in self.boxes[:1] for view in (box, _nearer(box)))]
        height, width = self.shape[:2]
        half = (width / 4, height / 4, 3 * width / 4, 3 * height / 4)
        box = min(self.boxes, key=lambda box: self.distance(np.reshape(box, (2, 2))), default=half)
        return [None, box, _nearer(box), _nearer(half)]

    def _middle(self):
        return (np.array(self.shape[1::-1]) - 1) / 2


def shows_face(box: Box, landmarks68: Float[np.ndarray, "68 2"]) -> bool:
    """Whether a detector's box shows the face with these landmarks: half a side off at most, scale within 2."""
    low, high = landmarks68.min(axis=0), landmarks68.max(axis=0)
    side = math.sqrt(np.prod(high - low))
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    return bool(np.abs(centre - (low + high) / 2).max() < side / 2 and 0.5 < (box[2] - box[0]) / side < 2)


def _centre(points):
    return (points.min(axis=0) + points.max(axis=0)) / 2


def _tight(points) -> Box:
    return (*points.min(axis=0), *points.max(axis=0))


def _covers(box: Box, point) -> bool:
    return bool(box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3])


def _nearer(box: Box) -> Box:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half_width, half_height = NEARER * (box[2] - box[0]) / 2, NEARER * (box[3] - box[1]) / 2
    return (x - half_width, y - half_height, x + half_width, y + half_height)
