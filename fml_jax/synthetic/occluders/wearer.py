"""The head that occluders are put on: its landmarks, ears, skin, and how far its front reaches."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Float, Int

_CELL = 4.0  # mm
_HALF_WIDTH, _TOP, _BOTTOM = 104.0, 132.0, -172.0  # mm; the part of model space in which the front is known


@dataclass(frozen=True)
class Wearer:
    """A head in model space, mm: x to the subject's left, y up, z out of the face."""

    vertices: Float[np.ndarray, "N 3"]
    landmarks: Float[np.ndarray, "68 3"]  # the contour as seen from the front
    skin: Float[np.ndarray, "3"]  # mean RGB reflectance
    ears: tuple[Int[np.ndarray, "R"], Int[np.ndarray, "L"]]  # vertices of the subject's right and left ear

    @cached_property
    def scale(self) -> float:
        """The size of the face; 1 for an average adult's."""
        return float(np.linalg.norm(self.landmarks[36] - self.landmarks[45]) / 88.6)

    def over_ear(self, side: int) -> Float[np.ndarray, "3"]:
        """Where the arm of a pair of glasses rests on an ear.

        Args:
          side: 0 for the subject's right ear, 1 for the left one.
        """
        ear = self.vertices[self.ears[side]]
        front = ear[ear[:, 2] > np.quantile(ear[:, 2], 0.7)]
        return front[front[:, 1] > np.quantile(front[:, 1], 0.8)].mean(axis=0)

    def under_ear(self, side: int) -> Float[np.ndarray, "3"]:
        """The front of an ear's lobe."""
        ear = self.vertices[self.ears[side]]
        return ear[ear[:, 1] < np.quantile(ear[:, 1], 0.15)].mean(axis=0)

    def front(self, x: Float[np.ndarray, "*shape"], y: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """The largest z of the head's surface at points (x, y), mm; beside the head, that of its edge nearby."""
        column = np.clip((np.asarray(x) + _HALF_WIDTH) / _CELL, 0, self._fronts.shape[1] - 1).astype(np.float32)
        row = np.clip((_TOP - np.asarray(y)) / _CELL, 0, self._fronts.shape[0] - 1).astype(np.float32)
        shape = column.shape
        found = cv2.remap(self._fronts, column.reshape(1, -1), row.reshape(1, -1), cv2.INTER_LINEAR)
        return found.reshape(shape).astype(float)

    @cached_property
    def _fronts(self) -> Float[np.ndarray, "rows columns"]:
        rows, columns = int((_TOP - _BOTTOM) / _CELL) + 1, int(2 * _HALF_WIDTH / _CELL) + 1
        x, y, z = self.vertices.T
        column = np.rint((x + _HALF_WIDTH) / _CELL).astype(int)
        row = np.rint((_TOP - y) / _CELL).astype(int)
        inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        fronts = np.full((rows, columns), -1e3, np.float32)
        np.maximum.at(fronts.reshape(-1), (row * columns + column)[inside], z[inside].astype(np.float32))
        # Cells without a vertex take their neighbours' value, cell by cell outwards.
        for _ in range(max(rows, columns)):
            empty = fronts < -999
            if not empty.any():
                break
            fronts = np.where(empty, cv2.dilate(fronts, np.ones((3, 3), np.uint8)), fronts)
        return np.asarray(fronts, np.float32)


def smooth_along(values: Float[np.ndarray, "P *S"], sigma: float) -> Float[np.ndarray, "P *S"]:
    """Values along paths of P points, smoothed by a Gaussian of so many points; the ends are continued."""
    columns = np.asarray(values, np.float32).reshape(len(values), -1)
    smooth = cv2.GaussianBlur(columns, (1, 0), 0.1, sigmaY=sigma, borderType=cv2.BORDER_REPLICATE)
    return smooth.reshape(values.shape).astype(float)
