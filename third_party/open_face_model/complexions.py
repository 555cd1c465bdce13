"""Reflectance of the second edition: the first edition's skins and tones on the new mesh, with its faults repaired."""

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from third_party.open_face_model.ict_regions import IctRegions
from third_party.open_face_model.principal_components import principal_modes
from third_party.open_face_model.regions import smooth_step
from third_party.open_face_model.skins import (
    BLUSH,
    HAIR,
    IRIS,
    IRIS_SHARE,
    LIP_RED,
    MOUTH_INSIDE,
    PUPIL,
    SCLERA,
    Painter,
    ReflectanceModes,
    linear_of_srgb,
    srgb_of_linear,
)

# As the first edition's tones, but less curved: a mode for the curve turns the skins between into grey ones.
TONES = np.array(
    [[68, 48, 38], [95, 70, 55], [126, 96, 77], [160, 124, 102], [190, 151, 128], [214, 176, 152], [233, 199, 176]]
)
CHROMA_KEPT = 0.35  # of the skins' detail: their photos' blue and grey shades are light, not skin
BEARD_SMOOTHING = 14  # steps of averaging with the neighbours
DETAIL_LIMIT = 0.35  # log: single dark or bright texels are no skin
NOSTRIL = np.log([0.08, 0.045, 0.04])  # log RGB over skin
LID_MARGIN = np.array([0.10, -0.22, -0.18])
LASHES = np.log(0.30)  # of the lids' edge: a line, seen from afar
BROW_DARKEST, BROW_FAIREST = np.log(0.16), np.log(0.5)  # over the skin beside them: brows are never paler than skin
# Weights in the principal components: what a photo shows large, or what tells people apart.
FACE_WEIGHT, EYE_WEIGHT, OTHER_WEIGHT = 1.0, 2.5, 0.35


def build_complexions(
    colours: list[np.ndarray], vertices: np.ndarray, regions: IctRegions, doubtful: np.ndarray, samples: int
) -> ReflectanceModes:
    """Samples reflectances and takes their principal components.

    Args:
      colours: of the skins, on the vertices, [N, 3] sRGB each.
      vertices: [N, 3] mean head, mm.
      doubtful: [N] bool where the skins' detail does not belong; it is filled in smoothly from around.
    """
    painter = ComplexionPainter(colours, vertices, regions, doubtful)
    rng = np.random.default_rng(90210)
    painted = np.stack([painter.paint(rng) for _ in range(samples)])
    mean = painted.mean(0)
    painted -= mean
    weights = np.full(len(vertices), OTHER_WEIGHT)
    weights[regions.face] = FACE_WEIGHT
    weights[regions.is_eye] = EYE_WEIGHT
    modes, sigma, explained = principal_modes(painted * weights[:, None].astype(np.float32), 80)
    return ReflectanceModes(mean, modes / weights[:, None], sigma, explained)


class ComplexionPainter(Painter):
    """Paints random people's reflectance on the vertices of the second edition's mesh."""

    def __init__(self, colours, vertices, regions, doubtful):
        logs = np.stack([np.log(np.maximum(linear_of_srgb(colour), 0.004)) for colour in colours])
        mirror = cKDTree(vertices).query(vertices * [-1, 1, 1])[1]
        self.regions, self.vertices = regions, vertices
        self.averages = logs[:, regions.skin].mean(1)
        details = logs - self.averages[:, None]
        brightness = details.mean(2, keepdims=True)
        details = np.clip(brightness, -DETAIL_LIMIT, DETAIL_LIMIT) + CHROMA_KEPT * (details - brightness)
        details = filled_in(details, regions.adjacency, doubtful)
        self.details = np.concatenate([details, details[:, mirror]])
        self.averages = np.concatenate([self.averages, self.averages])
        self.tones = np.log(linear_of_srgb(TONES / 255.0))
        degree = np.maximum(np.asarray(regions.adjacency.sum(1)).ravel(), 1)
        beards = np.stack([regions.moustache, regions.chin_beard, regions.cheek_beard], axis=1)
        for _ in range(BEARD_SMOOTHING):  # no beard ends at a line
            beards = 0.5 * beards + 0.5 * (regions.adjacency @ beards) / degree[:, None]
        self.beards = beards * (1 - regions.lips)[:, None] * ~(regions.is_eye | regions.is_lining)[:, None]

    def paint(self, rng: np.random.Generator) -> np.ndarray:
        """[N, 3] sRGB: one person."""
        regions = self.regions
        lightness = rng.beta(1.15, 1.15)
        bare = self._skin(rng, lightness)
        hair = np.log(HAIR[self._hair_colour(rng, lightness)]) + rng.normal(0, 0.12)
        skin = self._blend(bare, np.minimum(hair, bare - 0.15), self._hair_cover(rng))
        skin = skin + self._brow_darkening(rng, bare, hair)
        if rng.random() < 0.25:
            skin = self._blend(skin, np.minimum(hair, bare - 0.25), self._beard(rng))
        skin = skin + regions.nostrils[:, None] * NOSTRIL * rng.uniform(0.7, 1.1)
        skin = skin + regions.lid_margins[:, None] * LID_MARGIN * rng.uniform(0.5, 1.1)
        skin = skin + regions.lash_line[:, None] * LASHES * rng.uniform(0.35, 1.0)
        skin = self._blend(skin, MOUTH_INSIDE, regions.mouth_inside)
        colours = np.exp(skin)
        self._eyes(rng, colours, lightness)
        return srgb_of_linear(np.clip(colours, 0.002, 0.97)).astype(np.float32)

    def _skin(self, rng, lightness):
        """[N, 3] log RGB: the detail of up to three skins of about that lightness, on a tone of the curve."""
        regions, average = self.regions, self._tone(lightness)
        likeness = np.exp(-0.5 * ((self.averages.mean(1) - average.mean()) / 0.5) ** 2) + 1e-3
        chosen = rng.choice(len(self.averages), 3, replace=False, p=likeness / likeness.sum())
        detail = np.tensordot(rng.dirichlet([0.6] * 3), self.details[chosen], 1) * rng.uniform(0.7, 1.1)
        # Less blood than usual would look green or grey: it varies little below its mean.
        average = average + BLUSH * (rng.gamma(2.0, 0.12) + 0.05) + [0, 0, rng.normal(0, 0.025)]
        melanin, blood = self._field(rng), self._field(rng)
        darkening = self._tone(lightness - 0.06) - self._tone(lightness + 0.06)
        skin = average + detail + 0.25 * np.outer(melanin, darkening) + 0.2 * np.outer(blood, BLUSH)
        flush = regions.cheeks * rng.gamma(2.0, 0.3) + regions.nose_tip * rng.gamma(2.0, 0.25)
        shade = regions.under_eyes * np.abs(rng.normal(0, 0.12))
        lips = regions.lips * np.clip(rng.normal(0.42, 0.28), 0, 1.3)
        return skin + np.outer(flush, BLUSH) - shade[:, None] * [0.8, 1.0, 0.9] + np.outer(lips, LIP_RED)

    def _hair_cover(self, rng):
        """[N]: mostly hair on the scalp; few shaved heads, which as a mode would make others' hair glow."""
        return self.regions.hair * (rng.uniform(0.1, 0.4) if rng.random() < 0.07 else rng.uniform(0.65, 0.97))

    def _beard(self, rng):
        """[N] from 0 to 1: a random beard's cover."""
        density = np.clip(1 + 0.3 * self._field(rng), 0.4, 1.4)
        moustache, chin, cheek = self.beards.T
        cover = moustache * rng.uniform(0.3, 1) + chin * rng.uniform(0.3, 1) + cheek * rng.uniform(0, 0.8)
        return np.clip(cover * density, 0, 1) * rng.beta(1.1, 2.0) * 0.7

    def _brow_darkening(self, rng, skin, hair):
        """[N, 3] change of log RGB: hair over skin, and never as pale as the skin or paler."""
        cover = self.regions.brows(
            rng.uniform(2.5, 3.8), rng.uniform(0.93, 1.0), rng.normal(0, 0.3), rng.normal(0, 0.2)
        )
        density = np.clip(1 + 0.2 * self._field(rng), 0.7, 1.2) * rng.uniform(0.7, 1.0)
        contrast = np.clip(hair - skin, BROW_DARKEST, BROW_FAIREST)
        return np.clip(cover * density, 0, 0.95)[:, None] * contrast

    def _eyes(self, rng, colours, lightness):
        share = IRIS_SHARE * np.where(np.arange(len(IRIS)) >= 2, 1.8 * lightness**2, 1.0)
        iris = IRIS[rng.choice(len(IRIS), p=share / share.sum())] * rng.uniform(0.7, 1.0)
        sclera = SCLERA * rng.uniform(0.85, 1.15)
        for eye in self.regions.eyeballs:
            radius = eye.radius[:, None]
            ring = iris * (1 - 0.5 * smooth_step(radius, 4.4, 5.8)) * (0.85 + 0.3 * smooth_step(radius, 2.0, 3.5))
            colour = (
                sclera * (1 - 0.1 * smooth_step(radius, 7, 11)) * (1 + smooth_step(radius, 7, 11) * [0.0, -0.06, -0.06])
            )
            colour = colour + (ring - colour) * (1 - smooth_step(radius, 5.2, 6.1))
            colour = colour + (PUPIL - colour) * (1 - smooth_step(radius, 1.5, 2.3))
            colours[eye.vertices] = colour * (1 - 0.6 * eye.shade[:, None])


def filled_in(values: np.ndarray, adjacency: sparse.csr_matrix, doubtful: np.ndarray) -> np.ndarray:
    """[S, N, C] with the doubtful vertices' values replaced by a membrane over the others'."""
    degree = np.asarray(adjacency.sum(1)).ravel()
    laplacian = sparse.diags(degree) - adjacency
    inner = np.flatnonzero(doubtful)
    outer = np.flatnonzero(~doubtful)
    matrix = (laplacian[inner][:, inner] + 1e-6 * sparse.identity(len(inner))).tocsc()
    known = np.moveaxis(values[:, outer], 0, 1).reshape(len(outer), -1)
    solved = splu(matrix).solve(-(laplacian[inner][:, outer] @ known))
    result = values.copy()
    result[:, inner] = np.moveaxis(solved.reshape(len(inner), len(values), -1), 1, 0)
    return result
