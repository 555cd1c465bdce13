"""Where things are on the standard mesh: parts of the face as masks, and soft areas to paint on."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sparse
from scipy.spatial import cKDTree

from third_party.open_face_model.head_mesh import EYE, LINING

# MediaPipe's numbers of the brows' upper and lower outlines, from the temple to the nose.
BROW_OUTLINES = {
    "right": ([70, 63, 105, 66, 107], [46, 53, 52, 65, 55]),
    "left": ([300, 293, 334, 296, 336], [276, 283, 282, 295, 285]),
}
# And of the eyes' outlines.
EYE_OUTLINES = {
    "right": [33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246],
    "left": [263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466],
}
NOSE_BRIDGE, NOSE_TIP, UNDER_NOSE, CHIN = 168, 4, 2, 152
MOUTH_CORNERS, CHEEKS, UNDER_EYES = (61, 291), (50, 280), (230, 450)
HAIRLINE_SMOOTHING = 25  # steps of averaging with the neighbours


@dataclass(frozen=True)
class Eyeball:
    """The vertices of one eyeball, with their distance from the gaze axis and the shade of the upper lid."""

    vertices: np.ndarray  # [E]
    radius: np.ndarray  # [E] mm
    shade: np.ndarray  # [E] from 0 to 1


class Regions:
    """Masks and soft areas of the standard mesh, all [N].

    Args:
      vertices: [N, 3] mean head, mm.
      parts: {LINING: [N] bool, EYE: [N] bool} which vertices belong to linings and eyeballs.
      ears, lips: [N] from 0 to 1, from the base mesh's texture masks.
      hair: [N] from 0 to 1, where the scalp's hair grows in the skins.
      landmarks: [478, 3] MediaPipe's points on the mean head, mm.
      adjacency: [N, N] the mesh's edges.
    """

    def __init__(self, vertices, parts, ears, lips, hair, landmarks, adjacency: sparse.csr_matrix):
        self._vertices, self._landmarks, self.adjacency = vertices, landmarks, adjacency
        self.is_eye, self.is_lining = parts[EYE], parts[LINING]
        self._outer = ~(self.is_eye | self.is_lining)
        self.ears, self.lips = ears * self._outer, lips * self._outer
        self.hair = hair * self._outer
        self.mouth_inside = self._mouth_inside()

    def names_and_masks(self) -> dict[str, np.ndarray]:
        """The regions that the model file carries: name → [N] bool."""
        brows = (self.brows(3.2, 1.0, 0.0, 0.0) > 0.25) & self._outer
        return {
            "skin": self.skin,
            "face": self.face,
            "eyes": self.is_eye,
            "lips": self.lips > 0.5,
            "nose": self.nose,
            "ears": self.ears > 0.5,
            "neck": self.neck,
            "scalp": self.scalp,
            "brows": brows,
            "beard": self.beard_area,
        }

    @cached_property
    def neck(self):
        """Below the jaw: under a plane from below the chin to below the ears."""
        x, y, z = self._vertices.T
        chin = self._landmarks[CHIN]
        slope = (chin[1] + 32) / (chin[2] + 5)  # through the point 32 mm below the ears' midpoint
        limit = -32 + slope * np.clip(z, -5, chin[2]) - 7
        return self._outer & (y < limit) & ~(self.ears > 0.5)

    @cached_property
    def scalp(self):
        """Where hair grows, and everything behind the ears."""
        behind = self._vertices[:, 2] < -5
        return self._outer & ~self.neck & ~(self.ears > 0.5) & ((self._smooth_hair > 0.4) | behind)

    @cached_property
    def _smooth_hair(self):
        """The hair's cover without the skins' single strands: an even hairline."""
        degree = np.maximum(np.asarray(self.adjacency.sum(1)).ravel(), 1)
        smooth = self.hair
        for _ in range(HAIRLINE_SMOOTHING):
            smooth = 0.5 * smooth + 0.5 * (self.adjacency @ smooth) / degree
        return smooth

    @cached_property
    def face(self):
        """The photometric region: all that is seen of the face, with brows, lips and the open eyes."""
        outer = self._outer & ~self.neck & ~self.scalp & ~(self.ears > 0.5)
        return outer | (self.is_eye & self._between_lids())

    @cached_property
    def skin(self):
        """Facial skin that never bears hair and varies little (eq. 14)."""
        brows = self.brows(4.0, 1.0, 0.0, 0.0) > 0.1
        hairless = ~brows & ~self.beard_area & (self.hair < 0.1)
        return self._outer & self.face & hairless & ~(self.lips > 0.1) & ~self._near(self.is_lining | self.is_eye, 1)

    @cached_property
    def nose(self):
        x, y, z = self._vertices.T
        bridge, tip, base = self._landmarks[[NOSE_BRIDGE, NOSE_TIP, UNDER_NOSE]]
        along = np.clip((bridge[1] - y) / (bridge[1] - base[1]), 0, 1)
        width = 8 + 12 * along
        return self._outer & (np.abs(x) < width) & (y < bridge[1]) & (y > base[1] - 3) & (z > base[2] - 16)

    @cached_property
    def moustache(self):
        x, y, _ = self._vertices.T
        corners = self._landmarks[list(MOUTH_CORNERS)]
        top, bottom = self._landmarks[UNDER_NOSE][1] - 4, corners[:, 1].mean()
        middle = (top + bottom) / 2 - 5 * (np.abs(x) / 25) ** 2
        band = np.exp(-(((y - middle) / 6) ** 2)) * (1 - smooth_step(np.abs(x), 22, 30)) * self._in_front
        return band * (1 - self.lips) * self._outer

    @cached_property
    def chin_beard(self):
        x, y, _ = self._vertices.T
        mouth, chin = self._landmarks[list(MOUTH_CORNERS)][:, 1].mean(), self._landmarks[CHIN][1]
        height = (1 - smooth_step(y, mouth - 16, mouth - 6)) * smooth_step(y, chin - 14, chin + 4)
        return (
            height
            * (1 - smooth_step(np.abs(x), 20, 32))
            * (1 - self.lips)
            * self._outer
            * self._in_front
            * (1 - self.neck)
        )

    @cached_property
    def cheek_beard(self):
        x, y, z = self._vertices.T
        mouth, chin = self._landmarks[list(MOUTH_CORNERS)][:, 1].mean(), self._landmarks[CHIN][1]
        upper = mouth + np.interp(np.abs(x), [20, 45, 62, 75], [-4, 8, 26, 48])
        height = (1 - smooth_step(y, upper - 8, upper + 4)) * smooth_step(y, chin - 14, chin + 6)
        area = height * smooth_step(np.abs(x), 16, 28) * smooth_step(z, -8, 8)
        return area * (1 - self.neck) * (1 - self.lips) * (1 - self.ears) * self._outer

    @cached_property
    def beard_area(self):
        return np.maximum.reduce([self.moustache, self.chin_beard, self.cheek_beard]) > 0.15

    @cached_property
    def cheeks(self):
        return self._bump(CHEEKS, 17)

    @cached_property
    def nose_tip(self):
        return self._bump((NOSE_TIP,), 11)

    @cached_property
    def under_eyes(self):
        return self._bump(UNDER_EYES, 8)

    @cached_property
    def eyeballs(self) -> list[Eyeball]:
        """Both eyeballs; the gaze axis is z through the eyeball's centre."""
        balls = []
        for side in (1, -1):
            ball = np.flatnonzero(self.is_eye & (side * self._vertices[:, 0] > 0))
            points = self._vertices[ball]
            centre = (points.min(0) + points.max(0)) / 2
            across = points[:, :2] - centre[:2]
            balls.append(Eyeball(ball, np.linalg.norm(across, axis=1), smooth_step(across[:, 1], -2, 7)))
        return balls

    def brows(self, thickness: float, length: float, arch: float, lift: float) -> np.ndarray:
        """Both brows' cover from 0 to 1, tapering to the temple; all in mm but the length, a share."""
        cover = np.zeros(len(self._vertices))
        near = self._near_brows
        for upper, lower in BROW_OUTLINES.values():
            nodes = 0.4 * self._landmarks[upper] + 0.6 * self._landmarks[lower]
            t = np.linspace(1 - length, 1, 40)
            line = np.stack([np.interp(t, np.linspace(0, 1, len(nodes)), axis) for axis in nodes.T], axis=1)
            line[:, 1] += lift + arch * np.sin(np.pi * t)
            distance, nearest = cKDTree(line).query(self._vertices[near])
            half_width = thickness * np.interp(t, [0, 0.35, 0.8, 1], [0.35, 0.9, 1.1, 0.8])[nearest]
            cover[near] = np.maximum(cover[near], 1 - smooth_step(distance, 0.55 * half_width, 1.45 * half_width))
        return cover * self._outer

    @cached_property
    def _near_brows(self):
        """The vertices that a brow can reach."""
        numbers = [number for outlines in BROW_OUTLINES.values() for outline in outlines for number in outline]
        return np.flatnonzero(cKDTree(self._landmarks[numbers]).query(self._vertices)[0] < 20)

    @cached_property
    def _in_front(self):
        return smooth_step(self._vertices[:, 2], 30, 50)

    def _bump(self, landmarks, radius):
        centres = self._landmarks[list(landmarks)]
        squared = ((self._vertices[:, None] - centres) ** 2).sum(2).min(1)
        return np.exp(-squared / (2 * radius**2)) * self._outer

    def _mouth_inside(self):
        """1 within the mouth's lining, fading to the lips over one row of vertices."""
        mouth = self.is_lining & (self._vertices[:, 1] < self._landmarks[UNDER_NOSE][1])
        deep = mouth & ~self._near(self._outer, 1)
        return np.where(deep, 1.0, np.where(mouth, 0.45, 0.0))

    def _near(self, mask, steps):
        for _ in range(steps):
            mask = mask | (self.adjacency @ mask.astype(float) > 0)
        return mask

    def _between_lids(self):
        """Eyeball vertices that the open lids leave free, by MediaPipe's outlines of the eyes."""
        visible = np.zeros(len(self._vertices), bool)
        for outline in EYE_OUTLINES.values():
            polygon = self._landmarks[outline][:, :2]
            visible |= inside_polygon(polygon, self._vertices[:, :2])
        return visible


def inside_polygon(polygon, points):
    """Which points [N, 2] lie inside a polygon [P, 2] (even-odd rule)."""
    inside = np.zeros(len(points), bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crosses = (y0 > points[:, 1]) != (y1 > points[:, 1])
        x = x0 + (points[:, 1] - y0) * (x1 - x0) / np.where(y1 == y0, 1e-9, y1 - y0)
        inside ^= crosses & (points[:, 0] < x)
    return inside


def smooth_step(value, low, high):
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
