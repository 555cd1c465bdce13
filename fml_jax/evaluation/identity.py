"""How well faces tell people apart: distances between their pictures, within a person and between people."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from fml_jax.evaluation.levels import levels_of, without_expression
from fml_jax.evaluation.metrics import similarity_aligned
from fml_jax.reconstruction.reconstruction import Reconstruction

PAIRS_HEADER = ("within", "between", "within : between", "ROC area")  # of `Pairs.cells`


class Pairs(NamedTuple):
    """Distances of pairs of photos."""

    same: Float[np.ndarray, "S"]  # of one person
    different: Float[np.ndarray, "D"]

    @property
    def within_to_between(self) -> float:
        """Mean distance within a person by that between people: 0 is perfect, 1 tells nobody apart."""
        return float(self.same.mean() / self.different.mean())

    @property
    def roc_area(self) -> float:
        """The probability that two photos of one person are nearer than two of different people; ties count half."""
        ranks = rankdata(np.concatenate([self.same, self.different]))[: len(self.same)]
        above = ranks.sum() - len(self.same) * (len(self.same) + 1) / 2  # pairs of pairs where the same are farther
        return float(1 - above / (len(self.same) * len(self.different)))

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The numbers under `PAIRS_HEADER`."""
        numbers = self.same.mean(), self.different.mean(), self.within_to_between, self.roc_area
        within, between, ratio, area = (f"{number:.3f}" for number in numbers)
        return within, between, ratio, area


def neutral_levels(face: Reconstruction) -> dict[str, Float[np.ndarray, "N 3"]]:
    """A face without expression at each of its levels, mm: identity alone, then with the final corrections."""
    return {name: without_expression(level) for name, level in levels_of(face, refined=False)}


def distances_between(faces: Float[np.ndarray, "B N 3"]) -> Float[np.ndarray, "B B"]:
    """Mean distances of corresponding points, each face aligned to the other by a similarity, the mean of both ways."""
    everything = np.ones(faces.shape[1], bool)
    rows = []
    for each in faces:
        target = np.broadcast_to(each, faces.shape)
        rows.append(np.linalg.norm(similarity_aligned(faces, target, everything) - target, axis=-1).mean(1))
    return (np.stack(rows) + np.stack(rows).T) / 2


def colour_distances(skins: Float[np.ndarray, "B N 3"]) -> Float[np.ndarray, "B B"]:
    """Mean RGB distances of corresponding points of B reflectances."""
    return np.stack([np.linalg.norm(skins - each, axis=-1).mean(axis=1) for each in skins])


def pairs_of(distances: Float[np.ndarray, "B B"], people: Sequence[str]) -> Pairs:
    """The distances of all pairs of photos, by whether they show the same person."""
    upper = np.triu(np.ones(distances.shape, bool), 1)
    names = np.asarray(people)
    same: Bool[np.ndarray, "B B"] = names[:, None] == names[None]
    return Pairs(distances[upper & same], distances[upper & ~same])
