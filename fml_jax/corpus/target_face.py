"""The target face of a photo, and its landmarks.

MediaPipe may choose a bystander's face, or miss a face in a large photo. The part of the photo about the target face is
then searched by itself.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.photos.landmarks import detect_mesh, ibug68

Box = tuple[float, float, float, float]  # x0, y0, x1, y1, photo pixels
NEARER = 0.7  # size of a second, closer view of a box, which leaves neighbours out


@dataclass(frozen=True)
class TargetFace:
    """The annotated face if there is one; else the face in the middle if `off_centre` is set; else the largest."""

    shape: tuple[int, ...]  # of the photo, height first
    boxes: list[Box]  # of the detector, largest first
    annotated: Box | None = None
    off_centre: float | None = None  # largest distance of the face from the middle, in the photo's shorter sides

    def find(self, rgb: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "478 3"] | None:
        """MediaPipe's points of the target face, in photo pixels.

        Returns:
          The points; those of another face if the target is not found; None if no face is found.
        """
        other = None
        for view in self._views():
            mesh = detect_mesh(rgb, view)
            if mesh is not None and self.has(ibug68(mesh[:, :2])):
                return mesh
            other = mesh if other is None else other
        return other

    def has(self, landmarks68: Float[np.ndarray, "68 2"]) -> bool:
        """Whether these are landmarks of the target face."""
        if self.annotated is not None:
            return _covers(self.annotated, _centre(landmarks68))
        if self.off_centre is None:
            return not self.boxes or shows_face(self.boxes[0], landmarks68)
        return self.distance(landmarks68) <= self.off_centre or _covers(_tight(landmarks68), self._middle())

    def distance(self, points: Float[np.ndarray, "n 2"]) -> float:
        """The distance from the photo's middle to the middle of the points' box, in the photo's shorter sides."""
        return float(np.linalg.norm(_centre(points) - self._middle())) / min(self.shape[:2])

    def is_in_a_box(self) -> bool:
        """Whether a box of the detector covers the photo's middle."""
        return any(_covers(box, self._middle()) for box in self.boxes)

    def _views(self) -> list[Box | None]:
        """The parts of the photo to search, in order; None is the whole photo."""
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
    """Whether a detector's box and these landmarks show the same face.

    The centres must agree within half the size of the landmarks' box, and the sizes within a factor of 2.
    """
    low, high = landmarks68.min(axis=0), landmarks68.max(axis=0)
    side = math.sqrt(np.prod(high - low))
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    return bool(np.abs(centre - (low + high) / 2).max() < side / 2 and 0.5 < (box[2] - box[0]) / side < 2)


def _centre(points):
    return (points.min(axis=0) + points.max(axis=0)) / 2


def _tight(points) -> Box:
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x0, y0, x1, y1


def _covers(box: Box, point) -> bool:
    return bool(box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3])


def _nearer(box: Box) -> Box:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half_width, half_height = NEARER * (box[2] - box[0]) / 2, NEARER * (box[3] - box[1]) / 2
    return (x - half_width, y - half_height, x + half_width, y + half_height)
