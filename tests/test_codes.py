import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import CODE_SIZE, code_from_network, flatten_code, network_from_code, neutral_code, unflatten_code


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
