"""The crop's score, fitted to the features of a network whose other layers stay constant.

The score is an output layer beside that of the code: one weighted sum of the same features. Fitting it is a
convex problem that takes seconds, so that it can learn from crops that were not part of the network's training.
"""

import functools
from collections.abc import Callable, Iterable, Mapping

import jax
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.optimize import minimize
from scipy.special import expit

from fml_jax.networks.encoders import encode, make_encoder
from fml_jax.ops.images import unit_range
from fml_jax.photos.colour_balance import balanced, balancing_gains

DECAY = 1e-4  # of the squared weights, features having deviation 1, against a mean cross-entropy
FACES = "faces"  # the kind of crops that should have a high score
_BATCH = 50  # crops that are encoded at a time

Crops = UInt8[np.ndarray, "_ 240 240 3"]  # kinds have different numbers of them
Features = Float[np.ndarray, "_ F"]


def features_by_kind(params: dict, encoder: str, crops: Iterable[tuple[str, Crops]]) -> dict[str, Features]:
    """What the score of each kind's crops is computed from: the input of the network's last layers.

    The score itself has no influence on it. Memory holds one kind's crops at a time, if they are made one by one.

    Args:
      params: of an encoder, with local stages or without; the score is computed before those.
      encoder: its name.
      crops: kinds and their crops, which are balanced as a reconstruction's are.
    """
    own = {name: layer for name, layer in params.items() if name != "local"}
    return {kind: _in_batches(own, encoder, balanced(each, balancing_gains(each))) for kind, each in crops}


def _in_batches(params: dict, encoder: str, crops: Crops) -> Features:
    """All batches have one size, for which the program is compiled once: the last is filled up with its last crop."""
    batches = [crops[at : at + _BATCH] for at in range(0, len(crops), _BATCH)]
    filled = [batch[np.minimum(np.arange(_BATCH), len(batch) - 1)] for batch in batches]
    return np.concatenate([np.asarray(_features(params, batch, encoder=encoder)) for batch in filled])[: len(crops)]


@functools.partial(jax.jit, static_argnames="encoder")
def _features(params, crops, *, encoder):
    return encode(make_encoder(encoder, params["code"]["bias"].size), params, unit_range(crops)).features


def with_fitted_score(
    params: dict,
    train: Mapping[str, Features],
    *,
    shares: Mapping[str, float],
    is_face: Callable[[str], bool] = FACES.__eq__,
) -> dict:
    """An encoder's parameters with a score that separates faces from other crops.

    Args:
      train: features of crops, by their kinds.
      shares: the weight of each kind, independent of its number of crops.
      is_face: whether crops of a kind should have a high score.
    """
    kernel, bias = fit_score(
        np.concatenate(list(train.values())),
        np.concatenate([np.full(len(each), is_face(kind)) for kind, each in train.items()]),
        np.concatenate([np.full(len(each), shares[kind] / len(each)) for kind, each in train.items()]),
    )
    return {**params, "score": {"kernel": kernel, "bias": bias}}


def rightly_scored(
    params: dict, features: Mapping[str, Features], *, is_face: Callable[[str], bool] = FACES.__eq__
) -> dict[str, float]:
    """The part of each kind's crops on the right side of one half: scores over it for faces, under it for others."""

    def right(kind, of_kind):
        over = (of_kind @ params["score"]["kernel"] + params["score"]["bias"])[:, 0] > 0
        return float(np.mean(over == is_face(kind)))

    return {kind: right(kind, each) for kind, each in features.items()}


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
