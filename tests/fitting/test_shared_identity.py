"""One identity from several crops: the parts of the least squares problem make up the whole of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import network_from_code, raw_scales
from fml_jax.fitting import shared_identity as module
from fml_jax.fitting.shared_identity import IdentityInformation, PointEvidence
from fml_jax.image_formation import local_points
from fml_jax.image_formation.local_points import POINTS, PointBasis, free_parameters
from tests.tiny_face import random_code

# One program each; without `jit` they would be some hundred.
identity_information, shared_identity, fit_with_identity, project_points = map(
    jax.jit,
    (
        module.identity_information,
        module.shared_identity,
        module.fit_with_identity,
        local_points.project_points,
    ),
)


@pytest.fixture(scope="module")
def basis(tiny_model):
    return PointBasis.of(tiny_model)


@pytest.fixture(scope="module")
def codes(tiny_model):
    """Three crops of one person."""
    found = [random_code(tiny_model, np.random.default_rng(k)) for k in range(3)]
    return [code.replace(identity=found[0].identity) for code in found]


def evidence_of(basis, code, *, prior=None, precision=1e-4, off=0.0):
    """Exact points of a code, or points that are `off` pixels off, with a prior about `prior`."""
    size = len(free_parameters(basis.sizes))
    pixels = project_points(basis, code).pixels + off * np.random.default_rng(0).normal(size=(POINTS, 2))
    prior = jnp.zeros(basis.sizes.total) if prior is None else jnp.asarray(network_from_code(prior))
    return PointEvidence(pixels, jnp.broadcast_to(jnp.eye(2), (POINTS, 2, 2)), prior, jnp.full(size, precision))


def test_exact_points_tell_the_identity(basis, codes):
    information = [identity_information(basis, code, evidence_of(basis, code)) for code in codes]
    found = shared_identity(jax.tree.map(lambda *parts: jnp.stack(parts), *information), jnp.ones(3))
    np.testing.assert_allclose(found, codes[0].identity, atol=0.02)


def test_it_is_the_identity_part_of_one_problem_of_all_crops(basis, codes):
    """Built once more with all unknowns in one matrix, about other codes than the measured ones."""
    count = basis.sizes.identity
    free = free_parameters(basis.sizes)
    own = len(free) - count
    total, right = np.zeros((count + 2 * own,) * 2), np.zeros(count + 2 * own)
    parts = []
    for k, code in enumerate(codes[:2]):
        evidence = evidence_of(basis, code, precision=2.0, off=1.0)
        about = code.replace(identity=code.identity + 0.1)
        parts.append(identity_information(basis, about, evidence))
        now = project_points(basis, about)
        rows = np.asarray(now.jacobian * raw_scales(basis.sizes)[free]).reshape(2 * POINTS, -1)
        places = np.concatenate([np.arange(count), count + k * own + np.arange(own)])
        total[np.ix_(places, places)] += rows.T @ rows + 2.0 * np.eye(len(free))
        gaps = np.asarray(evidence.pixels - now.pixels).ravel()
        right[places] += rows.T @ gaps - 2.0 * np.asarray(network_from_code(about))[free]
    whole = np.linalg.solve(total, right)[:count] + np.asarray(codes[0].identity) + 0.1
    summed = jax.tree.map(lambda *each: sum(each), *parts)
    np.testing.assert_allclose(np.linalg.solve(summed.precision, summed.weighted), whole, atol=1e-3)


def test_the_prior_counts_once_for_all_photos():
    """Means of a true value of 2 that each are drawn halfway to 0 by a prior as strong as a photo."""
    size, photos = 3, 4
    information = IdentityInformation(
        jnp.broadcast_to(2.0 * jnp.eye(size), (photos, size, size)), jnp.full((photos, size), 2.0)
    )
    alone = shared_identity(information, jnp.asarray([1.0, 0, 0, 0]))
    np.testing.assert_allclose(alone, 1.0, rtol=1e-5)
    np.testing.assert_allclose(shared_identity(information, jnp.ones(photos)), 2 * photos / (photos + 1), rtol=1e-5)


def test_what_photos_hardly_tell_is_not_made_large():
    information = IdentityInformation(jnp.broadcast_to(1.01 * jnp.eye(2), (50, 2, 2)), jnp.full((50, 2), 0.101))
    np.testing.assert_allclose(shared_identity(information, jnp.ones(50)), 0.3, rtol=1e-4)


def test_a_photo_of_weight_0_does_not_count(basis, codes):
    parts = [identity_information(basis, code, evidence_of(basis, code)) for code in codes[:2]]
    bad = jax.tree.map(lambda part: 7 * part, parts[1])
    stacked = jax.tree.map(lambda *each: jnp.stack(each), parts[0], bad)
    np.testing.assert_allclose(shared_identity(stacked, jnp.asarray([1.0, 0.0])), codes[0].identity, atol=0.02)


def test_expression_and_pose_are_found_under_a_known_identity(basis, codes):
    code = codes[1]
    start = code.replace(
        expression=code.expression + 0.5,
        rotation=code.rotation + 0.05,
        translation=code.translation + jnp.array([5.0, 5.0, 40.0]),
        identity=code.identity + 1.0,
    )
    found = fit_with_identity(basis, start, code.identity, evidence=evidence_of(basis, code))
    np.testing.assert_allclose(found.identity, code.identity, atol=1e-6)
    np.testing.assert_allclose(found.expression, code.expression, atol=0.05)
    np.testing.assert_allclose(project_points(basis, found).pixels, project_points(basis, code).pixels, atol=0.05)
    np.testing.assert_allclose(found.illumination, code.illumination, atol=1e-6)
