import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.networks.encoders import make_encoder
from tests.compiled_programs import run_once

CODE_SIZE = 257  # the paper's
NAMES = ("light", "deep", "alexnet", "vggface")


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def crops(number, seed=0):
    """Smooth pictures with edges, as photos have them."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((number, 15, 15, 3)).repeat(16, 1).repeat(16, 2)
    return jnp.asarray(0.8 * coarse + 0.2 * rng.random((number, 240, 240, 3)), jnp.float32)


@pytest.fixture(scope="module")
def light():
    encoder = make_encoder("light", CODE_SIZE)
    params = run_once(encoder.init, jax.random.key(0), crops(1))["params"]
    return params, jax.jit(lambda params, x: encoder.apply({"params": params}, x))


@pytest.mark.parametrize(
    "name, millions", [("light", (1.0, 7.0)), ("deep", (4.0, 7.0)), ("alexnet", (57, 62)), ("vggface", (134, 140))]
)
def test_shapes_and_parameter_counts(name, millions):
    """The published networks have 61 and 138 million with 1000 classes at the end."""
    encoder = make_encoder(name, CODE_SIZE)
    params = jax.eval_shape(encoder.init, jax.random.key(0), jnp.zeros((1, 240, 240, 3)))["params"]
    low, high = millions
    assert low <= count(params) / 1e6 <= high
    raw, logit = jax.eval_shape(lambda p, x: encoder.apply({"params": p}, x), params, jnp.zeros((3, 240, 240, 3)))
    assert raw.shape == (3, CODE_SIZE) and logit.shape == (3,)


@pytest.mark.parametrize("name, places", [("alexnet", 6 * 6 * 256), ("vggface", 7 * 7 * 512)])
def test_fully_connected_layers_see_the_published_maps(name, places):
    encoder = make_encoder(name, CODE_SIZE)
    params = jax.eval_shape(encoder.init, jax.random.key(0), jnp.zeros((1, 240, 240, 3)))["params"]
    assert params["Dense_0"]["kernel"].shape == (places, 4096)


def test_code_size_is_a_parameter():
    raw, _ = jax.eval_shape(make_encoder("light", 40).init_with_output, jax.random.key(0), crops(1))[0]
    assert raw.shape == (1, 40)


@pytest.mark.parametrize("name", ["light", "alexnet"])
def test_an_untrained_encoder_predicts_the_neutral_face(name):
    (raw, logit), _ = run_once(make_encoder(name, CODE_SIZE).init_with_output, jax.random.key(1), crops(2))
    assert 0 < float(jnp.abs(raw).max()) < 0.3
    assert float(jnp.abs(logit).max()) < 0.3


def test_gradient_reaches_all_parameters(light):
    params, apply = light

    def loss(params):
        raw, logit = apply(params, crops(2))
        return jnp.mean((raw - 1) ** 2) + jnp.mean((logit - 1) ** 2)

    gradients = jax.jit(jax.grad(loss))(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(leaf).all() and float(jnp.abs(leaf).max()) > 0, jax.tree_util.keystr(path)


def test_a_batch_is_its_faces_one_by_one(light):
    params, apply = light
    batch = crops(3)
    together = apply(params, batch)
    for k in range(3):
        alone = apply(params, batch[k : k + 1])
        for whole, single in zip(together, alone, strict=True):
            np.testing.assert_allclose(whole[k], single[0], atol=1e-5)


def test_output_depends_on_where_things_are(light):
    """The same picture, moved by 16 pixels, has another code: the head does not average places away."""
    params, apply = light
    picture = jnp.full((1, 240, 240, 3), 0.5).at[:, 80:140, 90:150].set(jnp.asarray([0.9, 0.2, 0.3]))
    here, _ = apply(params, picture)
    there, _ = apply(params, jnp.roll(picture, 16, axis=2))
    assert float(jnp.linalg.norm(here - there)) > 0.1 * float(jnp.linalg.norm(here))


def test_light_reads_averages_of_two_by_two(light):
    params, apply = light
    fine = crops(1)
    coarse = fine.reshape(1, 120, 2, 120, 2, 3).mean((2, 4)).repeat(2, 1).repeat(2, 2)
    assert float(jnp.abs(fine - coarse).max()) > 0.05
    np.testing.assert_allclose(apply(params, fine)[0], apply(params, coarse)[0], atol=1e-5)


def test_unknown_name_is_a_clear_error():
    with pytest.raises(InputError, match="'resnet' is unknown; choose one of light, deep, alexnet, vggface"):
        make_encoder("resnet", CODE_SIZE)
