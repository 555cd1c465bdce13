"""Each term of the energy against its equation written out, and: does it move a face the right way?"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fml_jax.codes import code_from_network, network_from_code, neutral_code
from fml_jax.face_model.landmarks import CONTOUR, landmarks68
from fml_jax.image_formation import reference
from fml_jax.image_formation.camera import project
from fml_jax.image_formation.points import form_points as points_of
from fml_jax.image_formation.rotation import rotation_matrix as rotation_of
from fml_jax.losses import (
    PAPER_LANDMARKS,
    BaseWeights,
    Observation,
    SupervisedWeights,
    landmark_energy,
    landmark_residuals,
    photometric_energy,
    photometric_residuals,
    score_energy,
    statistical_energy,
)
from fml_jax.losses import base_energy as base_energy_of
from fml_jax.losses import supervised_energy as supervised_energy_of
from fml_jax.ops.sampling import sample_bilinear
from tests.tiny_face import random_code

# One program each; called without `jit` they would be some hundred.
form_points, rotation_matrix = jax.jit(points_of), jax.jit(rotation_of)
base_energy, supervised_energy = (
    jax.jit(energy, static_argnames="weights") for energy in (base_energy_of, supervised_energy_of)
)


@pytest.fixture
def start(tiny_model):
    return neutral_code(tiny_model.code_sizes)


@jax.jit
def projected68(model, code):
    points = form_points(model, code)
    return project(landmarks68(model.landmarks, points.positions, rotation_matrix(code.rotation)))


def descend(energy, code, steps=150, rate=0.02):
    """Adam on a code's network scale; returns the code and the energies on the way."""
    optimizer = optax.adam(rate)

    def step(state, _):
        raw, moments = state
        value, gradient = jax.value_and_grad(lambda raw: energy(code_from_network(raw, code.sizes)))(raw)
        updates, moments = optimizer.update(gradient, moments)
        return (optax.apply_updates(raw, updates), moments), value

    @jax.jit
    def descended(raw):
        (raw, _), values = jax.lax.scan(step, (raw, optimizer.init(raw)), length=steps)
        return code_from_network(raw, code.sizes), values

    return descended(network_from_code(code))


def test_sparse_energy_is_equation_10():
    rng = np.random.default_rng(0)
    residuals, confidence = rng.normal(size=(68, 2)).astype(np.float32), rng.random(68).astype(np.float32)
    expected = sum(confidence[k] * (residuals[k] ** 2).sum() for k in range(68) if k not in (60, 64)) / 66
    assert float(landmark_energy(jnp.asarray(residuals), jnp.asarray(confidence))) == pytest.approx(expected, rel=1e-5)
    assert PAPER_LANDMARKS.sum() == 66


def test_photometric_energy_is_equation_9(tiny_model, tiny_code):
    points = form_points(tiny_model, tiny_code)
    image = jnp.asarray(np.random.default_rng(1).random((240, 240, 3)), jnp.float32)
    region = jnp.arange(tiny_model.vertex_count) % 3 > 0
    residuals, members = jax.jit(photometric_residuals)(points, jax.jit(sample_bilinear)(image, points.pixels), region)
    assert 10 < members.sum() < points.visible.sum()
    distances = [
        np.linalg.norm(reference.sample_bilinear(np.asarray(image), np.asarray(u)) - np.asarray(c))
        for u, c, member in zip(points.pixels, points.colours, members, strict=True)
        if member
    ]
    assert float(photometric_energy(residuals, members.astype(jnp.float32))) == pytest.approx(
        np.mean(distances), rel=1e-3
    )


def test_photometric_gradient_is_finite_where_the_fit_is_perfect(tiny_model, start):
    """Every residual zero: the ℓ2,1 norm's kink must not become a NaN."""
    image = jnp.full((240, 240, 3), 0.5)
    gradient = jax.jit(jax.grad(_photo, argnums=1))(tiny_model, start, image)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def _photo(model, code, image):
    points = form_points(model, code)
    residuals, members = photometric_residuals(points, sample_bilinear(image, points.pixels), model.regions["face"])
    return photometric_energy(residuals, members.astype(jnp.float32))


def test_photometric_term_finds_skin_colour_and_light(tiny_model, start):
    truth = random_code(tiny_model, np.random.default_rng(5))
    truth = start.replace(reflectance=truth.reflectance, illumination=start.illumination.at[1].set(0.3))
    picture = _splat(form_points(tiny_model, truth))
    found, values = descend(lambda code: _photo(tiny_model, _pose_of(code, start), picture), start)
    assert values[-1] < 0.25 * values[0]


def _pose_of(code, other):
    names = ("identity", "expression", "rotation", "translation")
    return code.replace(**{name: getattr(other, name) for name in names})


def _splat(points):
    """A picture whose pixels have the colour of the nearest vertex."""
    grid = np.stack(np.meshgrid(np.arange(240), np.arange(240)), axis=-1).reshape(-1, 1, 2)
    nearest = np.argmin(((grid - np.asarray(points.pixels)) ** 2).sum(-1), axis=1)
    return jnp.asarray(np.asarray(points.colours)[nearest].reshape(240, 240, 3))


def test_sparse_term_finds_pose_and_shape(tiny_model, tiny_code, start):
    target = projected68(tiny_model, tiny_code)

    def energy(code):
        return landmark_energy(
            landmark_residuals(
                tiny_model,
                form_points(tiny_model, code),
                rotation_matrix(code.rotation),
                observed=target,
                contour="pose",
            ),
            jnp.ones(68),
        )

    found, values = descend(energy, start, steps=1500)
    assert values[-1] < 0.003 * values[0]
    true_turn = rotation_matrix(tiny_code.rotation)
    angle = np.degrees(np.arccos((np.trace(rotation_matrix(found.rotation).T @ true_turn) - 1) / 2))
    assert angle < 5


def test_sliding_points_take_the_candidate_nearest_to_the_line(tiny_model, tiny_code):
    points = form_points(tiny_model, tiny_code)
    detected = projected68(tiny_model, tiny_code) + 3.0
    rotation = rotation_matrix(tiny_code.rotation)
    by_rays = jax.jit(landmark_residuals, static_argnames="contour")
    residuals = by_rays(tiny_model, points, rotation, observed=detected, contour="rays")
    focal, centre = 1080.0, 119.5
    for k in range(CONTOUR):
        ray = np.array([(detected[k, 0] - centre) / focal, (detected[k, 1] - centre) / focal, 1.0])
        ray /= np.linalg.norm(ray)
        candidates = np.asarray(points.positions)[np.asarray(tiny_model.landmarks.candidates)]
        distances = np.linalg.norm(np.cross(candidates, ray), axis=1)
        chosen = candidates[np.argmin(distances)]
        np.testing.assert_allclose(residuals[k], detected[k] - project(jnp.asarray(chosen[None]))[0], atol=0.05)


def test_statistical_term_is_equation_11_and_pulls_to_the_mean(tiny_code):
    value = statistical_energy(tiny_code, 0.002)
    expected = (
        (tiny_code.identity**2).sum() + (tiny_code.expression**2).sum() + 0.002 * (tiny_code.reflectance**2).sum()
    )
    assert float(value) == pytest.approx(float(expected), rel=1e-6)
    smaller = statistical_energy(jax.tree.map(lambda part: 0.9 * part, tiny_code), 0.002)
    assert smaller < value


def test_base_energy_weighs_its_terms(tiny_model, tiny_code):
    image = jnp.asarray(np.random.default_rng(2).random((240, 240, 3)), jnp.float32)
    target = projected68(tiny_model, tiny_code) + 1.0
    weights = BaseWeights(photo=2.0, sparse=0.5, reg=0.1, rstd=0.3, contour="pose")
    total, terms = base_energy(tiny_model, tiny_code, Observation(image, target, jnp.ones(68)), weights=weights)
    assert float(terms["sparse"]) == pytest.approx(2.0, rel=1e-2)
    assert float(total) == pytest.approx(
        float(0.5 * terms["sparse"] + 2 * terms["photo"] + 0.1 * terms["std"]), rel=1e-6
    )


def test_masked_pixels_do_not_count(tiny_model, tiny_code):
    """Changing the picture under the mask changes nothing, elsewhere it does."""
    rng = np.random.default_rng(4)
    image, other = (rng.random((240, 240, 3)).astype(np.float32) for _ in range(2))
    mask = np.ones((240, 240), np.float32)
    mask[:, :120] = 0
    # Bilinear sampling mixes neighbours: leave a column between the two halves untouched.
    under, beside = image.copy(), image.copy()
    under[:, :119], beside[:, 121:] = other[:, :119], other[:, 121:]

    def photo(picture):
        observation = Observation(jnp.asarray(picture), jnp.zeros((68, 2)), jnp.ones(68), jnp.asarray(mask))
        return float(base_energy(tiny_model, tiny_code, observation, weights=BaseWeights())[1]["photo"])

    assert photo(under) == pytest.approx(photo(image), abs=1e-6)
    assert abs(photo(beside) - photo(image)) > 1e-3


def test_unknown_contour_is_refused(tiny_model, tiny_code):
    observation = Observation(jnp.zeros((240, 240, 3)), jnp.zeros((68, 2)), jnp.ones(68))
    with pytest.raises(ValueError, match="contour"):
        base_energy(tiny_model, tiny_code, observation, weights=BaseWeights(contour="isoline"))


def test_supervised_energy_is_zero_at_the_truth_and_finds_it(tiny_model, tiny_code, start):
    def energy(code):
        return supervised_energy(tiny_model, code, tiny_code, weights=SupervisedWeights())[0]

    assert float(energy(tiny_code)) < 1e-3
    found, values = descend(energy, start, steps=500)
    assert values[-1] < 0.1 * values[0]
    np.testing.assert_allclose(found.reflectance, tiny_code.reflectance, atol=0.25)


@pytest.mark.parametrize("part", ["identity", "expression", "reflectance", "illumination", "rotation", "translation"])
def test_supervised_energy_sees_every_part(tiny_model, tiny_code, part):
    moved = tiny_code.replace(**{part: getattr(tiny_code, part) * 1.1 + 0.05})

    def value(code):
        return float(supervised_energy(tiny_model, code, tiny_code, weights=SupervisedWeights())[0])

    assert value(moved) > value(tiny_code) + 1e-3


def test_score_energy_rewards_the_right_answer():
    assert (
        float(score_energy(jnp.float32(3), jnp.float32(1))) < 0.1 < float(score_energy(jnp.float32(3), jnp.float32(0)))
    )
