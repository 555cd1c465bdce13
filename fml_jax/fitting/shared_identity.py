"""One identity from several crops of a person: Gauss–Newton on measured points, in parts.

Each crop has a quadratic energy in its parameters, that of its measured points and of its prior (`point_update`):
E_i(s, y_i) with the identity s, which all crops share, and y_i, the expression and pose of crop i. Without y_i, which
the Schur complement eliminates, crop i has an estimate s_i of the identity, with the precision Λ_i. The identity of
all is the mean of the s_i, weighted by the Λ_i.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Float

from fml_jax.codes import FaceCode, code_from_network, network_from_code, raw_scales
from fml_jax.fitting.point_update import point_update
from fml_jax.image_formation.local_points import PointBasis, free_parameters, project_points
from fml_jax.ops.arrays import Array

STEPS = 4  # of Gauss–Newton
MOST_RESTORED = 3.0  # see `shared_identity`


class PointEvidence(NamedTuple):
    """What is known of the points of one crop, or of B crops with leading axes.

    Units of parameters are those of a network's raw output (`codes.code_from_network`).
    """

    pixels: jax.Array  # [P, 2] where the points are measured, crop pixels
    whitening: jax.Array  # [P, 2, 2] lower triangular L; L Lᵀ is a point's weight in the energy, 1/pixels²
    prior: jax.Array  # [K], a code in a network's units: the mean of the prior
    precision: jax.Array  # [M + 6] of the prior: identity, expression, rotation, translation


class IdentityInformation(NamedTuple):
    """The estimate of an identity s from one crop, in information form."""

    precision: jax.Array  # Λ, [m_s, m_s]
    weighted: jax.Array  # Λ s, [m_s]


def identity_information(basis: PointBasis, code: FaceCode, evidence: PointEvidence) -> IdentityInformation:
    """The estimate of the identity from one crop; the equations are linearised about a code that fits its points."""
    count, places = basis.sizes.identity, free_parameters(basis.sizes)
    raw = jnp.asarray(network_from_code(code))
    jacobian, gaps = _linearised(basis, code, evidence)
    rows = jnp.einsum("pab,pam->pbm", evidence.whitening, jacobian).reshape(-1, len(places))
    aims = jnp.einsum("pab,pa->pb", evidence.whitening, gaps).reshape(-1)
    normal = rows.T @ rows + jnp.diag(evidence.precision)
    right = aims @ rows - evidence.precision * (raw - evidence.prior)[places]
    own = cho_solve(cho_factor(normal[count:, count:]), normal[count:, :count])
    precision = normal[:count, :count] - normal[:count, count:] @ own
    change = right[:count] - right[count:] @ own  # Λ times the best change of s
    return IdentityInformation(precision, precision @ raw[:count] + change)


def shared_identity(information: IdentityInformation, weights: Float[Array, "B"]) -> Float[Array, "m_s"]:
    """The identity that B crops agree on.

    Each s_i is drawn to the mean face, since the prior, N(0, 1) in standard deviations, is in each Λ_i. It belongs into
    their sum once: by Bayes' rule the precision of all is Σ Λ_i − (B − 1). The more a person is unlike the mean face,
    the more this restores, but no direction becomes more than `MOST_RESTORED` times as strong as in the weighted mean.

    Args:
      information: with leading axes B.
      weights: of the crops, in [0, 1]; of crops that are nearly alike, or 0 for one that fills up a batch.
    """
    total = jax.tree.map(lambda part: jnp.tensordot(weights, part, 1), information)
    strengths, directions = jnp.linalg.eigh(total.precision)
    surplus = jnp.maximum(weights.sum() - 1, 0)
    left = jnp.maximum(strengths - surplus, strengths / MOST_RESTORED)
    return directions @ (directions.T @ total.weighted / left)


def fit_with_identity(
    basis: PointBasis, code: FaceCode, identity: Float[Array, "m_s"], *, evidence: PointEvidence
) -> FaceCode:
    """The expression and pose that fit a crop's points best under an identity; light and reflectance stay as they are.

    Args:
      code: where the search for expression and pose begins.
    """
    own = slice(basis.sizes.identity, None)
    places = free_parameters(basis.sizes)[own]

    def step(raw, _):
        jacobian, gaps = _linearised(basis, code_from_network(raw, basis.sizes), evidence)
        change = point_update(
            jacobian[..., own],
            gaps,
            evidence.whitening,
            precision=evidence.precision[own],
            from_prior=(raw - evidence.prior)[places],
        )
        return raw.at[places].add(change), None

    start = jnp.asarray(network_from_code(code.replace(identity=identity)))
    return code_from_network(jax.lax.scan(step, start, length=STEPS)[0], basis.sizes)


def _linearised(basis: PointBasis, code: FaceCode, evidence: PointEvidence) -> tuple[Array, Array]:
    """The points' derivatives [P, 2, M + 6] with respect to a network's output, and measured minus projected [P, 2]."""
    now = project_points(basis, code)
    return now.jacobian * raw_scales(basis.sizes)[free_parameters(basis.sizes)], evidence.pixels - now.pixels
