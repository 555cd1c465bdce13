import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import (
    CodeSizes,
    code_from_network,
    final_code_from_network,
    flatten_code,
    network_from_code,
    neutral_code,
    unflatten_code,
)

SIZES = CodeSizes(80, 64, 80)  # the paper's


def test_the_paper_has_257_numbers():
    code = neutral_code(SIZES)
    assert SIZES.total == 257 == flatten_code(code).shape[0] and code.sizes == SIZES


@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_flat_and_named_parts_round_trip(batch):
    vector = jnp.asarray(np.random.default_rng(0).normal(size=(*batch, 257)), jnp.float32)
    code = unflatten_code(vector, SIZES)
    assert code.identity.shape == (*batch, 80) and code.illumination.shape == (*batch, 9, 3)
    np.testing.assert_array_equal(flatten_code(code), vector)


def test_order_of_the_parts():
    code = unflatten_code(jnp.arange(257.0), SIZES)
    firsts = [float(jnp.ravel(getattr(code, name))[0]) for name in vars(code)]
    assert firsts == [0, 80, 144, 224, 227, 230]
    np.testing.assert_array_equal(code.illumination[1], [233, 234, 235])


def test_zero_output_is_the_neutral_face():
    jax.tree.map(np.testing.assert_array_equal, code_from_network(jnp.zeros(257), SIZES), neutral_code(SIZES))


def test_network_scale_round_trips():
    raw = jnp.asarray(np.random.default_rng(1).normal(size=(3, 257)), jnp.float32)
    np.testing.assert_allclose(network_from_code(code_from_network(raw, SIZES)), raw, atol=2e-5)


def test_wrong_length_is_refused():
    with pytest.raises(ValueError, match="257"):
        unflatten_code(jnp.zeros(256), SIZES)


@pytest.mark.parametrize("batch", [(), (2, 3)])
@pytest.mark.parametrize("correctives", [(0, 0), (500, 500), (3, 7)])
def test_the_parts_of_a_final_code(batch, correctives):
    rng = np.random.default_rng(2)
    base = code_from_network(jnp.asarray(rng.normal(size=(*batch, 257)), jnp.float32), SIZES)
    raw = jnp.asarray(rng.normal(size=(*batch, sum(correctives) + 27)), jnp.float32)
    code = final_code_from_network(base, raw, correctives)
    assert (code.geometry.shape[-1], code.reflectance.shape[-1]) == correctives
    np.testing.assert_array_equal(jnp.concatenate([code.geometry, code.reflectance], -1), raw[..., :-27])
    np.testing.assert_array_equal(code.lit.illumination, code.illumination)
    np.testing.assert_array_equal(code.lit.identity, code.base.identity)
    assert code.base is base


def test_the_final_light_is_predicted_as_a_difference_from_the_base_light():
    raw = jnp.asarray(np.random.default_rng(4).normal(size=10 + 27), jnp.float32)
    base = neutral_code(SIZES)
    unchanged = final_code_from_network(base, 0 * raw, (4, 6))
    np.testing.assert_array_equal(unchanged.illumination, base.illumination)
    assert not unchanged.geometry.any() and not unchanged.reflectance.any()
    changed = final_code_from_network(base, raw, (4, 6))
    np.testing.assert_allclose(changed.illumination - base.illumination, 0.3 * raw[-27:].reshape(9, 3), atol=1e-6)


def test_a_final_code_of_wrong_length_is_refused():
    with pytest.raises(ValueError, match="30"):
        final_code_from_network(neutral_code(SIZES), jnp.zeros(29), (2, 1))
