"""The local stages: what they look at, where they begin, and that they learn to move a code to its face."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fml_jax.codes import code_from_network
from fml_jax.face_model import load_face_model
from fml_jax.image_formation.local_points import POINTS, PointBasis, project_points
from fml_jax.losses import point_likelihood_energy
from fml_jax.networks import local_stages
from fml_jax.networks.encoders import make_encoder
from fml_jax.networks.local_stages import PATCH, PIXEL, LocalStages, MeasuredPoints, free_parameters
from fml_jax.networks.multilevel import CorrectivesConfig, make_network
from tests.compiled_programs import run_once


@pytest.fixture(scope="module")
def basis(tiny_model):
    return PointBasis.of(tiny_model)


@pytest.fixture(scope="module")
def two_crops(basis):
    """Parameters as training begins with them, two crops of noise, and an encoder's outputs for them."""
    crops = jnp.asarray(np.random.default_rng(0).random((2, 240, 240, 3)), jnp.float32)
    raw = jnp.asarray(np.random.default_rng(1).normal(0, 0.3, (2, basis.sizes.total)), jnp.float32)
    return run_once(LocalStages().init, jax.random.key(0), crops, raw, basis), crops, raw


# One program each; called without `jit` they would be some hundred.
apply = jax.jit(LocalStages().apply)
look_about = jax.jit(local_stages.look_about, static_argnames="stage")


@pytest.mark.parametrize("stage", range(len(PIXEL)))
def test_a_patch_shows_what_is_at_its_middle(stage):
    dot = np.array([100, 131])  # x, y: the middle of a square of 6×6 pixels, to which all stages' samples align
    crop = np.zeros((1, 240, 240, 3), np.float32)
    crop[0, dot[1] - 2 : dot[1] + 4, dot[0] - 2 : dot[0] + 4] = 1
    about = jnp.asarray(dot + np.array([[[3.3, -3.9], [-4.2, 1.1]]]), jnp.float32)
    patches, middles = look_about(jnp.asarray(crop), about, stage)
    assert patches.shape == (1, 2, PATCH**2 + 2 * (PATCH // 2) ** 2)
    grey = patches[0, :, : PATCH**2].reshape(2, PATCH, PATCH)
    for patch, middle in zip(grey, middles[0], strict=True):
        bright = np.argwhere(patch > patch.max() / 2).mean(axis=0)[::-1]  # x, y in samples
        found = np.asarray(middle) + (bright - (PATCH - 1) / 2) * PIXEL[stage]
        np.testing.assert_allclose(found, dot + 0.5, atol=PIXEL[stage] / 2 + 0.1)


def test_patches_depend_neither_on_brightness_nor_on_contrast():
    crop = jnp.asarray(np.random.default_rng(0).random((1, 240, 240, 3)), jnp.float32)
    about = jnp.full((1, 1, 2), 120.0)
    one, _ = look_about(crop, about, 2)
    other, _ = look_about(0.2 + 0.5 * crop, about, 2)
    np.testing.assert_allclose(one, other, rtol=0.03, atol=1e-4)


def test_points_beyond_the_crop_are_looked_for_at_its_edge():
    crop = jnp.asarray(np.random.default_rng(0).random((1, 240, 240, 3)), jnp.float32)
    for stage in range(len(PIXEL)):
        patches, middles = look_about(crop, jnp.array([[[-500.0, 900.0]]]), stage)
        assert np.isfinite(patches).all()
        assert (0 <= middles).all() and (middles <= 239).all()


def test_stages_change_pose_and_shape_and_only_the_last_one_the_tone(basis, two_crops):
    params, crops, raw = two_crops
    output = apply(params, crops, raw, basis)
    free = free_parameters(basis.sizes)
    fixed = np.setdiff1d(np.arange(basis.sizes.total), free)
    np.testing.assert_array_equal(output.stages[0][:, fixed], raw[:, fixed])
    assert (output.raw[:, free] != raw[:, free]).all()
    tone = basis.tone(code_from_network(output.raw, basis.sizes).reflectance)
    np.testing.assert_allclose(tone, jnp.tile(basis.tone_mean, (2, 1)), atol=1e-3)  # which untrained layers predict
    assert [each.pixels.shape for each in output.points] == [(2, POINTS, 2)] * len(PIXEL)


@pytest.mark.parametrize("trust, kept", [(30.0, True), (-30.0, False)])
def test_without_measurements_a_stage_keeps_the_code_that_it_trusts(basis, two_crops, trust, kept):
    params, crops, raw = two_crops
    stages = {name: dict(part) for name, part in params["params"].items()}
    stages["stage_0"]["weight"] = jnp.asarray(5.0)  # moves the code away from the encoder's
    for name in ("stage_1", "stage_2"):
        stages[name] |= {"weight": jnp.asarray(-40.0), "trust": jnp.full_like(stages[name]["trust"], trust)}
    output = apply({"params": stages}, crops, raw, basis)
    free = free_parameters(basis.sizes)
    first, last = output.stages[0][:, free], output.stages[1][:, free]
    assert np.abs(first - raw[:, free]).max() > 0.01
    np.testing.assert_allclose(last, first if kept else raw[:, free], atol=1e-4)
    np.testing.assert_allclose(output.prior[:, free], last, atol=1e-4)
    np.testing.assert_array_equal(output.start, raw)


@pytest.mark.parametrize("trust, kept", [(30.0, True), (-30.0, False)])
def test_a_stage_without_measurements_moves_to_its_prior_and_by_its_shift(basis, two_crops, trust, kept):
    params, crops, raw = two_crops
    stages = {name: dict(part) for name, part in params["params"].items()}
    free = free_parameters(basis.sizes)
    shifts = np.random.default_rng(2).normal(0, 0.3, (3, len(free))).astype(np.float32)
    for name, shift in zip(("stage_0", "stage_1", "stage_2"), shifts, strict=True):
        stages[name] |= {"weight": jnp.asarray(-40.0), "trust": jnp.full_like(stages[name]["trust"], trust)}
        layers = stages[name]["_Measurement_0"]
        stages[name]["_Measurement_0"] = layers | {"shift": layers["shift"] | {"bias": jnp.asarray(shift)}}
    output = apply({"params": stages}, crops, raw, basis)
    found = np.array([stage[:, free] for stage in output.stages])
    expected = np.cumsum(shifts, axis=0) if kept else shifts
    np.testing.assert_allclose(found, raw[None, :, free] + expected[:, None], atol=1e-4)
    np.testing.assert_allclose(output.prior[:, free], found[-1], atol=1e-4)


def test_layers_can_leave_points_in_their_places_between_samples(basis, two_crops):
    params, crops, raw = two_crops
    stages = dict(params["params"])
    for number in range(len(PIXEL)):
        stage = dict(stages[f"stage_{number}"])
        layers = jax.tree.map(jnp.zeros_like, stage["_Measurement_0"])
        kernel = layers["_EachPoint_2"]["kernel"].at[:, -2:, :2].set(jnp.eye(2) / local_stages._UNIT)
        layers["_EachPoint_2"] = dict(layers["_EachPoint_2"]) | {"kernel": kernel}
        stages[f"stage_{number}"] = stage | {"_Measurement_0": layers}
    output = apply({"params": stages}, crops, raw, basis)
    code = code_from_network(raw, basis.sizes)
    places = np.asarray(jax.vmap(lambda each: project_points(basis, each).pixels)(code))
    inner = np.all(
        (places > 30) & (places < 209), axis=-1
    )  # elsewhere the first stage's patches end at the crop's edge
    assert inner.mean() > 0.5
    for measured in output.points:
        np.testing.assert_allclose(measured.pixels[inner], places[inner], atol=0.05)  # others move the code a little


def test_a_crop_does_not_depend_on_its_batch(basis, two_crops):
    params, crops, raw = two_crops
    together = apply(params, crops, raw, basis).raw
    alone = apply(params, crops[1:2], raw[1:2], basis).raw
    np.testing.assert_allclose(together[1:2], alone, atol=1e-4)


def test_stages_learn_to_find_points_that_the_crop_shows(basis, two_crops):
    """Crops that show bright dots at a face's points, and an encoder's code that is some pixels off."""
    rng = np.random.default_rng(0)
    rows = 3
    true = jnp.asarray(rng.normal(0, 0.3, (rows, basis.sizes.total)), jnp.float32)
    free = free_parameters(basis.sizes)
    off = true.at[:, free].add(jnp.asarray(rng.normal(0, 0.15, (rows, len(free))), jnp.float32))

    def points(raw):
        code = code_from_network(raw, basis.sizes)
        return jax.vmap(lambda each: project_points(basis, each).pixels)(code)

    y, x = jnp.mgrid[:240, :240]

    def picture(pixels):
        squared = (x[..., None] - pixels[:, 0]) ** 2 + (y[..., None] - pixels[:, 1]) ** 2
        return jnp.repeat(jnp.exp(-squared / 18).max(axis=-1)[..., None], 3, axis=-1)

    crops = jax.jit(lambda raw: jax.vmap(picture)(points(raw)))(true)
    params, _, _ = two_crops
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))

    def likelihood(measured, whitening, true):
        return point_likelihood_energy(measured, whitening, true, confidence=jnp.ones(POINTS))

    @jax.jit
    def step(params, state):
        def loss(params):
            found = LocalStages().apply(params, crops, off, basis)
            likelihoods = [jax.vmap(likelihood)(each.pixels, each.whitening, points(true)) for each in found.points]
            distance = jnp.mean(jnp.linalg.norm(points(found.raw) - points(true), axis=-1))
            return jnp.mean(jnp.stack(likelihoods)) + distance, distance

        (_, value), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value

    state, values = optimizer.init(params), []
    for _ in range(20):
        params, state, value = step(params, state)
        values.append(float(value))
    before = np.mean(np.linalg.norm(np.subtract(*map(jax.jit(points), (off, true))), axis=-1))

    assert values[-1] < 0.3 * before


def test_a_network_with_local_stages_encodes_as_its_parts_do():
    model = load_face_model()
    network = make_network("light", CorrectivesConfig(), model, local_stages=True)
    params = run_once(network.init, jax.random.key(0))
    crops = jnp.asarray(np.random.default_rng(0).random((1, 240, 240, 3)), jnp.float32)
    output = jax.jit(network.encode)(params, crops)
    raw, _ = jax.jit(make_encoder("light", model.code_sizes.total).apply)({"params": params["encoder"]}, crops)
    after = apply({"params": params["local"]}, crops, raw, network.basis)
    np.testing.assert_allclose(output.raw, after.raw, atol=1e-5)
    assert (output.raw != raw).any()


def test_the_expected_distance_is_that_of_the_density():
    rng = np.random.default_rng(0)
    white = 0.5 * np.eye(2)  # distances r with density ∝ r exp(−r/2)
    distances = rng.gamma(shape=2, scale=2, size=200_000)
    measured = MeasuredPoints(jnp.zeros((1, 1, 2)), jnp.asarray(white, jnp.float32)[None, None])
    np.testing.assert_allclose(measured.expected_distances, distances.mean(), rtol=0.02)
    skewed = np.array([[0.5, 0.0], [0.3, 0.8]])
    spread = np.sqrt(np.trace(np.linalg.inv(skewed @ skewed.T)) / 2)
    measured = MeasuredPoints(jnp.zeros((1, 1, 2)), jnp.asarray(skewed, jnp.float32)[None, None])
    np.testing.assert_allclose(measured.expected_distances, 2 * spread, rtol=1e-4)
