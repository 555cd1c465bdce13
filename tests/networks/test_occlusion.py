"""The occlusion head learns which places an object hides; masks keep such places out of colours and residuals."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fml_jax.corpus.face_labels import BACKGROUND, FACE, LIKELY_BACKGROUND, LIKELY_FACE, OCCLUDER, UNKNOWN
from fml_jax.image_formation.occlusion import crop_sized, seen_share
from fml_jax.networks.encoders import encode, make_encoder
from fml_jax.networks.occlusion import OcclusionHead, label_energy, unoccluded
from fml_jax.training.step import label_weights
from tests.compiled_programs import run_once


def test_the_deep_encoder_predicts_classes_that_its_code_does_not_depend_on():
    encoder = make_encoder("deep", 257)
    crops = jnp.asarray(np.random.default_rng(0).random((2, 240, 240, 3)), jnp.float32)
    params = run_once(encoder.init, jax.random.key(0), crops)["params"]
    encoded = jax.jit(lambda params: encode(encoder, params, crops))
    output = encoded(params)
    assert output.occlusion.shape == (2, 60, 60, 3) and output.known.shape == (2, 60, 60)
    without = {**params, "occlusion_head": jax.tree.map(jnp.zeros_like, params["occlusion_head"])}
    np.testing.assert_allclose(encoded(without).raw, output.raw)


def test_the_head_finds_a_red_square():
    rng = np.random.default_rng(1)
    picture = 0.1 * rng.normal(size=(8, 120, 120, 3)).astype(np.float32)
    labels = np.full((8, 120, 120), FACE, np.uint8)
    for k, (row, column) in enumerate(rng.integers(0, 80, (8, 2))):
        picture[k, row : row + 40, column : column + 40] += [2, 0, 0]
        labels[k, row : row + 40, column : column + 40] = OCCLUDER
    maps = [jnp.zeros((8, side, side, 8)) for side in (30, 15, 8)]
    head, optimizer = OcclusionHead(), optax.adam(5e-3)
    params = run_once(head.init, jax.random.key(0), picture, maps)["params"]

    def loss(params, rows):
        logits = head.apply({"params": params}, picture[rows], [each[rows] for each in maps])
        return jnp.mean(jax.vmap(label_energy)(logits, label_weights(jnp.asarray(labels[rows]))))

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(loss)(params, slice(0, 6)), state)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for _ in range(60):
        params, state = step(params, state)
    found = jax.jit(head.apply)({"params": params}, picture[6:], [each[6:] for each in maps])
    found = unoccluded(found) < 0.5
    true = labels[6:, 1::2, 1::2] == OCCLUDER
    assert (found & true).sum() / (found | true).sum() > 0.9


def test_unknown_places_have_no_weight():
    labels = np.full((1, 120, 120), UNKNOWN, np.uint8)
    labels[0, :40], labels[0, 40:60], labels[0, 60:80] = OCCLUDER, LIKELY_FACE, LIKELY_BACKGROUND
    weights = np.asarray(label_weights(jnp.asarray(labels)))[0]
    assert (weights[:20, :, OCCLUDER] == 1).all() and not weights[40:].any()
    assert (0 < weights[20:30, :, FACE]).all() and (weights[20:30, :, FACE] < 1).all()
    assert (weights[30:40, :, BACKGROUND] == weights[20, 0, FACE]).all()


def test_a_map_is_sampled_where_its_pixels_are():
    known = jnp.zeros((60, 60)).at[10, 20].set(1.0)
    middle = jnp.array([[20 * 4 + 1.5, 10 * 4 + 1.5], [20 * 4 + 3.5, 10 * 4 + 1.5], [0.0, 0.0]])
    np.testing.assert_allclose(seen_share(known, middle), [1, 0.5, 0], atol=1e-6)
    whole = np.asarray(crop_sized(known[None]))[0]
    assert whole.shape == (240, 240) and np.unravel_index(whole.argmax(), whole.shape)[0] in range(40, 44)
