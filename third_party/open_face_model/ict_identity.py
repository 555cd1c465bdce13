"""Identity modes of the second edition: ICT-FaceKit's people, enriched with MakeHuman's ages, weights and ears."""

from collections.abc import Iterator

import numpy as np
import scipy.linalg

from fml_jax.face_model.surfaces import procrustes
from third_party.open_face_model.identity import BACK_WEIGHT, IdentityModes, align_by_similarity
from third_party.open_face_model.principal_components import principal_modes

SAMPLES = 1600
EYE_WEIGHT = 0.3  # an eyeball's vertices are dense, and mostly hidden
CLIPPED = 2.5  # standard deviations: beyond, ICT's modes leave what people look like


def sample_people(neutral: np.ndarray, identity: np.ndarray, extra: np.ndarray) -> Iterator[np.ndarray]:
    """Random heads [V, 3]: ICT-FaceKit's modes at random, and a displacement each.

    Args:
      neutral: [V, 3].
      identity: [100, V, 3] ICT-FaceKit's modes; coefficients are unit normal.
      extra: [S, V, 3] displacements that are added, one to each head.
    """
    rng = np.random.default_rng(20261127)
    flat = identity.reshape(len(identity), -1).astype(np.float32)
    for displacement in extra:
        coefficients = np.clip(rng.standard_normal(len(identity)), -CLIPPED, CLIPPED).astype(np.float32)
        yield neutral + (coefficients @ flat).reshape(neutral.shape) + displacement


def build_identity(heads: np.ndarray, weights: np.ndarray, frontal: np.ndarray, count: int = 80) -> IdentityModes:
    """Aligns heads (in place) by similarities on the frontal face, and takes their principal components.

    Size goes with the alignment: one photo cannot show it, so no mode is spent on it.

    Args:
      heads: [S, V, 3] mm, float32.
      weights: [V] of the vertices in the principal components; 0 for those that just follow.
      frontal: [F] vertices that are aligned.
    """
    mean = heads.mean(0, dtype=np.float64)
    for _ in range(2):
        goal = mean[frontal]
        for head in heads:
            scale, rotation, centre = procrustes(head[frontal].astype(float), goal)
            head[:] = scale * (head - centre) @ rotation.T + goal.mean(0)
        mean = heads.mean(0, dtype=np.float64)
    heads -= mean.astype(np.float32)
    counted = np.flatnonzero(weights)
    weighted = (heads[:, counted] * weights[counted, None].astype(np.float32)).reshape(len(heads), -1)
    gram = (weighted @ weighted.T).astype(float)
    values, vectors = scipy.linalg.eigh(gram, subset_by_index=[len(gram) - count, len(gram) - 1])
    values, vectors = values[::-1], vectors[:, ::-1]
    modes = np.tensordot(vectors.T.astype(np.float32), heads, 1) / np.sqrt(len(heads))
    flat = modes.reshape(count, -1)
    largest = np.take_along_axis(flat, np.abs(flat).argmax(1)[:, None], axis=1)
    modes *= np.sign(largest)[:, :, None]
    return IdentityModes(mean, modes, np.sqrt(values / len(heads)), float(values.sum() / np.trace(gram)))


def vertex_weights(count: int, narrow_face: int, standard: int, eyes: np.ndarray) -> np.ndarray:
    """[V] weights in the principal components: the face and the eyes, less the head, not the further parts."""
    weights = np.zeros(count)
    weights[:standard] = BACK_WEIGHT
    weights[:narrow_face] = 1
    weights[eyes] = EYE_WEIGHT
    return weights


def sampled_coordinates(
    heads: np.ndarray, frontal: np.ndarray, weights: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Heads as coordinates [S, count] in their own principal modes [count, V, 3]: children stay extreme.

    Args:
      heads: [S, V, 3], changed in place.
      frontal: [V] bool, vertices that are aligned by similarities.
      weights: [V] of the vertices in the principal components.
    """
    mean = align_by_similarity(heads, frontal)
    heads -= mean.astype(np.float32)
    weighted = heads * weights[:, None].astype(np.float32)
    modes, _, _ = principal_modes(weighted, count)
    flat = modes.reshape(count, -1)
    coordinates = weighted.reshape(len(heads), -1) @ flat.T / (flat**2).sum(1)
    return coordinates, modes / weights[:, None]
