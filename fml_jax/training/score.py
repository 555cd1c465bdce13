"""The crop's score, fitted to the features of a network whose other layers stay constant.

The score is an output layer beside that of the code: one weighted sum of the same features. Fitting it is a
convex problem that takes seconds, so that it can learn from crops that were not part of the network's training.
"""

from collections.abc import Callable, Mapping

import jax
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.optimize import minimize
from scipy.special import expit

from fml_jax.networks.encoders import encode, make_encoder
from fml_jax.ops.images import unit_range
from fml_jax.photos.colour_balance import balanced, balancing_gains

DECAY = 3e-4  # of the squared weights, features having deviation 1, against a mean cross-entropy
FACES = "faces"  # the kind of crops that should have a high score
_BATCH = 50

Crops = dict[str, UInt8[np.ndarray, "S 240 240 3"]]  # by their kinds


def with_fitted_score(
    params: dict,
    encoder: str,
    train: Crops,
    *,
    shares: Mapping[str, float],
    is_face: Callable[[str], bool] = FACES.__eq__,
) -> dict:
    """An encoder's parameters with a score that separates faces from other crops.

    Args:
      shares: the weight of each kind, independent of its number of crops.
      is_face: whether crops of a kind should have a high score.
    """
    found = {kind: _features(params, encoder, crops) for kind, crops in train.items()}
    kernel, bias = fit_score(
        np.concatenate(list(found.values())),
        np.concatenate([np.full(len(each), is_face(kind)) for kind, each in found.items()]),
        np.concatenate([np.full(len(each), shares[kind] / len(each)) for kind, each in found.items()]),
    )
    return {**params, "score": {"kernel": kernel, "bias": bias}}


def rightly_scored(
    params: dict, encoder: str, crops: Crops, *, is_face: Callable[[str], bool] = FACES.__eq__
) -> dict[str, float]:
    """The share of correct scores of each kind: over one half for faces, under it for other crops."""

    def right(kind, features):
        over = (features @ params["score"]["kernel"] + params["score"]["bias"])[:, 0] > 0
        return float(np.mean(over == is_face(kind)))

    return {kind: right(kind, _features(params, encoder, each)) for kind, each in crops.items()}


def _features(params, encoder, crops) -> np.ndarray:
    """The input of the last layers, [S, F]."""
    encoder = make_encoder(encoder, params["code"]["bias"].size)
    own = {name: layer for name, layer in params.items() if name != "local"}  # the score comes before the local stages
    read = jax.jit(lambda crops: encode(encoder, own, unit_range(crops)).features)
    crops = balanced(crops, balancing_gains(crops))  # as a reconstruction's crops are
    return np.concatenate([np.asarray(read(crops[at : at + _BATCH])) for at in range(0, len(crops), _BATCH)])


def fit_score(
    features: Float[np.ndarray, "S F"],
    is_face: Bool[np.ndarray, "S"],
    shares: Float[np.ndarray, "S"],
    *,
    decay: float = DECAY,
) -> tuple[Float[np.ndarray, "F 1"], Float[np.ndarray, "1"]]:
    """Kernel and bias of the score's layer with the least cross-entropy over samples: logistic regression.

    Args:
      shares: the weight of each sample.
    """
    mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    columns = np.column_stack([(features - mean) / spread, np.ones(len(features))])
    shares = shares / shares.sum()
    signs = np.where(is_face, 1.0, -1.0)
    penalised = np.append(np.ones(features.shape[1]), 0.0)

    def energy(weights):
        margins = signs * (columns @ weights)
        value = shares @ np.logaddexp(0, -margins) + decay * penalised @ weights**2
        return value, columns.T @ (-shares * signs * expit(-margins)) + 2 * decay * penalised * weights

    found = minimize(energy, np.zeros(columns.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 2000}).x
    kernel = found[:-1] / spread
    return kernel[:, None].astype(np.float32), np.array([found[-1] - mean @ kernel], np.float32)
