import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import (
    CODE_SIZE,
    code_from_network,
    final_code_from_network,
    flatten_code,
    network_from_code,
    neutral_code,
    unflatten_code,
)


def test_the_paper_has_257_numbers():
    assert CODE_SIZE == 257 == flatten_code(neutral_code()).shape[0]


@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_flat_and_named_parts_round_trip(batch):
    vector = jnp.asarray(np.random.default_rng(0).normal(size=(*batch, 257)), jnp.float32)
    code = unflatten_code(vector)
    assert code.identity.shape == (*batch, 80) and code.illumination.shape == (*batch, 9, 3)
    np.testing.assert_array_equal(flatten_code(code), vector)


def test_order_of_the_parts():
    code = unflatten_code(jnp.arange(257.0))
    firsts = [float(jnp.ravel(getattr(code, name))[0]) for name in vars(code)]
    assert firsts == [0, 80, 144, 224, 227, 230]
    np.testing.assert_array_equal(code.illumination[1], [233, 234, 235])


def test_zero_output_is_the_neutral_face():
    for part, neutral in zip(jax.tree.leaves(code_from_network(jnp.zeros(257))), jax.tree.leaves(neutral_code())):
        np.testing.assert_array_equal(part, neutral)


def test_network_scale_round_trips():
    raw = jnp.asarray(np.random.default_rng(1).normal(size=(3, 257)), jnp.float32)
    np.testing.assert_allclose(network_from_code(code_from_network(raw)), raw, atol=2e-5)


def test_wrong_length_is_refused():
    with pytest.raises(ValueError, match="257"):
        unflatten_code(jnp.zeros(256))


@pytest.mark.parametrize("batch", [(), (2, 3)])
@pytest.mark.parametrize("correctives", [(0, 0), (500, 500), (3, 7)])
def test_the_parts_of_a_final_code(batch, correctives):
    raw = jnp.asarray(np.random.default_rng(2).normal(size=(*batch, 257 + sum(correctives) + 27)), jnp.float32)
    code = final_code_from_network(raw, correctives)
    assert (code.geometry.shape[-1], code.reflectance.shape[-1]) == correctives
    np.testing.assert_array_equal(jnp.concatenate([code.geometry, code.reflectance], -1), raw[..., 257:-27])
    np.testing.assert_array_equal(code.lit.illumination, code.illumination)
    np.testing.assert_array_equal(code.lit.identity, code.base.identity)


def test_the_base_level_of_a_network_stays_as_it_was():
    raw = jnp.asarray(np.random.default_rng(3).normal(size=(2, 257 + 10 + 27)), jnp.float32)
    code = final_code_from_network(raw, (4, 6))
    np.testing.assert_array_equal(flatten_code(code.base), flatten_code(code_from_network(raw[:, :257])))
    np.testing.assert_array_equal(code.geometry, raw[:, 257:261])


def test_the_final_level_of_a_network_is_said_from_the_base_level_on():
    raw = jnp.asarray(np.random.default_rng(4).normal(size=(257 + 10 + 27)), jnp.float32)
    silent = final_code_from_network(raw.at[257:].set(0), (4, 6))
    np.testing.assert_array_equal(silent.illumination, silent.base.illumination)
    assert not silent.geometry.any() and not silent.reflectance.any()
    spoken = final_code_from_network(raw, (4, 6))
    np.testing.assert_array_equal(spoken.base.illumination, silent.base.illumination)
    np.testing.assert_allclose(spoken.illumination - silent.illumination, 0.3 * raw[-27:].reshape(9, 3), atol=1e-6)


def test_a_final_code_of_wrong_length_is_refused():
    with pytest.raises(ValueError, match="287"):
        final_code_from_network(jnp.zeros(257), (2, 1))
