"""One Gauss–Newton step towards measured points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.fitting.point_update import point_update

POINTS, PARAMETERS = 12, 5


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    diagonal = rng.uniform(0.5, 2, (POINTS, 2))
    whitening = np.zeros((POINTS, 2, 2))
    whitening[:, 0, 0], whitening[:, 1, 1] = diagonal[:, 0], diagonal[:, 1]
    whitening[:, 1, 0] = rng.normal(size=POINTS)
    arrays = {
        "jacobian": rng.normal(size=(POINTS, 2, PARAMETERS)),
        "gaps": rng.normal(size=(POINTS, 2)),
        "whitening": whitening,
        "precision": rng.uniform(0.5, 2, PARAMETERS),
        "from_prior": rng.normal(size=PARAMETERS),
    }
    return {name: jnp.asarray(array, jnp.float32) for name, array in arrays.items()}


@jax.jit
def update(problem):
    return point_update(
        problem["jacobian"],
        problem["gaps"],
        problem["whitening"],
        precision=problem["precision"],
        from_prior=problem["from_prior"],
    )


def cost(problem, change):
    """The sum that the update minimises, term by term."""
    total = sum(d * (u + p) ** 2 for d, u, p in zip(problem["precision"], change, problem["from_prior"], strict=True))
    for jacobian, gap, white in zip(problem["jacobian"], problem["gaps"], problem["whitening"], strict=True):
        total += jnp.sum((white.T @ (jacobian @ change - gap)) ** 2)
    return total


def test_the_update_has_the_lowest_cost(problem):
    found = update(problem)
    gradient = jax.jit(jax.grad(lambda change: cost(problem, change)))(found)
    np.testing.assert_allclose(gradient, 0, atol=1e-3)


def test_certain_points_decide_and_uncertain_ones_leave_the_prior(problem):
    true = jnp.arange(1.0, PARAMETERS + 1)
    exact = problem | {"gaps": problem["jacobian"] @ true}
    np.testing.assert_allclose(update(exact | {"whitening": 1e3 * problem["whitening"]}), true, rtol=1e-3)
    unsure = exact | {"whitening": 1e-4 * problem["whitening"]}
    np.testing.assert_allclose(update(unsure), -problem["from_prior"], atol=1e-3)


@pytest.mark.parametrize("name", ["jacobian", "gaps", "whitening", "precision", "from_prior"])
def test_gradients_agree_with_finite_differences(problem, name):
    toward = jnp.asarray(np.random.default_rng(1).normal(size=PARAMETERS), jnp.float32)

    def loss(array):
        return update(problem | {name: array}) @ toward

    direction = jnp.asarray(np.random.default_rng(2).normal(size=problem[name].shape), jnp.float32)
    step = 1e-2
    difference = (loss(problem[name] + step * direction) - loss(problem[name] - step * direction)) / (2 * step)
    np.testing.assert_allclose(
        jnp.sum(jax.jit(jax.grad(loss))(problem[name]) * direction), difference, rtol=0.02, atol=1e-3
    )
