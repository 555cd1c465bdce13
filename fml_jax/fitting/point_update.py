"""One Gauss–Newton step from a code to measured points: differentiable, and part of the network."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Float

from fml_jax.ops.arrays import Array


def point_update(
    jacobian: Float[Array, "P 2 M"],
    gaps: Float[Array, "P 2"],
    whitening: Float[Array, "P 2 2"],
    *,
    precision: Float[Array, "M"],
    from_prior: Float[Array, "M"],
) -> Float[Array, "M"]:
    """The change u of M parameters that minimises Σ_p ‖L_pᵀ (J_p u − gap_p)‖² + Σ_k d_k (u_k + from_prior_k)².

    Args:
      jacobian: J, of the projected points with respect to the parameters, pixels.
      gaps: measured points minus projected ones, pixels.
      whitening: L, lower triangular, with L Lᵀ the inverse covariance of a measured point.
      precision: d > 0, of the parameters' prior.
      from_prior: the current parameters minus the prior's mean.
    """
    size = jacobian.shape[-1]
    rows = jnp.einsum("pab,pam->pbm", whitening, jacobian).reshape(-1, size)
    aims = jnp.einsum("pab,pa->pb", whitening, gaps).reshape(-1)
    # The derivative of a solution needs a second solution with the same factor, not the derivative of the factor.
    constant_rows, constant_precision = jax.lax.stop_gradient((rows, precision))
    factor = cho_factor(constant_rows.T @ constant_rows + jnp.diag(constant_precision), lower=True)
    return jax.lax.custom_linear_solve(
        lambda change: (rows @ change) @ rows + precision * change,
        aims @ rows - precision * from_prior,
        lambda _, right: cho_solve(factor, right),
        symmetric=True,
    )
