import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fml_jax.training.adadelta import adadelta
from fml_jax.training.config import GroupConfig, OptimizerConfig
from fml_jax.training.optimizers import group_labels, make_optimizer

PARAMS = {"body": {"kernel": jnp.ones(3)}, "head": {"kernel": jnp.ones(3)}, "header": {"kernel": jnp.ones(2)}}


def settings(name="adam", groups=None, **others):
    """Without warm-up and clipping, unless given."""
    rates = groups or {"all": ("", 0.1)}
    groups = {name: GroupConfig(*group) for name, group in rates.items()}
    return OptimizerConfig(groups, **{"name": name, "schedule": "constant", "clip": 0.0, **others})


def run(optimizer, params, steps=200):
    def energy(p):
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(p))

    def step(reached, _):
        params, state = reached
        updates, state = optimizer.update(jax.grad(energy)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def descended(params):
        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), length=steps)
        return params, energy(params)

    return descended(params)


@pytest.mark.parametrize("name, rate", [("adadelta", 10.0), ("adam", 0.05), ("adamw", 0.05), ("muon", 0.05)])
def test_each_optimizer_descends(name, rate):
    optimizer = make_optimizer(settings(name, {"all": ("", rate)}), 200)
    assert run(optimizer, PARAMS)[1] < 0.5 * 8


def test_groups_have_their_own_rates():
    groups = {
        "body": ("body", 0.01),
        "head": ("head", 0.0),
        "rest": ("header", 0.02),
    }
    params, _ = run(make_optimizer(settings(groups=groups), 10), PARAMS, steps=1)
    moved = {name: float(1 - params[name]["kernel"][0]) for name in PARAMS}
    assert moved["body"] == pytest.approx(0.01, rel=1e-3) and moved["header"] == pytest.approx(0.02, rel=1e-3)
    assert moved["head"] == 0


@pytest.mark.parametrize("name", ["adadelta", "adam", "adamw", "muon"])
def test_a_rate_of_zero_leaves_parameters_and_keeps_nothing_of_them(name):
    rates = {"body": 0.1, "head": 0.0, "header": 0.1}
    groups = {prefix: (prefix, rate) for prefix, rate in rates.items()}
    optimizer = make_optimizer(settings(name, groups), 10)
    params, _ = run(optimizer, PARAMS, steps=2)
    np.testing.assert_array_equal(params["head"]["kernel"], PARAMS["head"]["kernel"])
    paths = [path for path, leaf in jax.tree_util.tree_leaves_with_path(optimizer.init(PARAMS)) if leaf.ndim]
    kept = {path[-2].key for path in paths if getattr(path[-1], "key", "") == "kernel"}
    assert kept == {"body", "header"}


def test_a_parameter_without_a_group_is_refused():
    with pytest.raises(ValueError, match="'head/kernel' belongs to no group"):
        group_labels(PARAMS, {"body": "body", "rest": "header"})


def test_a_parameter_in_two_groups_of_one_prefix_is_refused():
    with pytest.raises(ValueError, match="'body/kernel' belongs to the groups one, other"):
        group_labels(PARAMS, {"one": "body", "other": "body/", "rest": ""})


def test_of_nested_groups_the_one_with_the_longest_prefix_counts():
    labels = group_labels(PARAMS, {"all": "", "kernel": "body/kernel", "body": "body"})
    assert labels["body"] == {"kernel": "kernel"} and labels["head"]["kernel"] == "all"


def test_a_prefix_is_a_whole_name():
    labels = group_labels(PARAMS, {"body": "body", "head": "head", "rest": "header"})
    assert labels["header"]["kernel"] == "rest" and labels["head"]["kernel"] == "head"


def test_cosine_warms_up_and_ends_near_zero():
    optimizer = make_optimizer(settings(schedule="cosine", warmup=10), 100)
    state, steps = optimizer.init(PARAMS), []
    update = jax.jit(optimizer.update)
    for _ in range(100):
        updates, state = update(PARAMS, state, PARAMS)
        steps.append(-float(updates["body"]["kernel"][0]))
    assert steps[0] == 0 and np.argmax(steps) in (9, 10, 11) and steps[-1] < 0.02 * max(steps)


def gradient_at(step):
    return jax.tree.map(lambda leaf: jnp.sin(step + jnp.arange(leaf.size)) * 10.0 ** (step % 7 - 4), PARAMS)


@pytest.mark.parametrize("rate", [0.3, lambda step: 0.1 * step])
def test_adadelta_is_optaxs(rate):
    ours, theirs = adadelta(rate, 0.95, 1e-6), optax.adadelta(rate, 0.95, 1e-6)
    states, params = [ours.init(PARAMS), theirs.init(PARAMS)], [PARAMS, PARAMS]
    for step in range(20):
        gradient = gradient_at(step)
        for k, optimizer in enumerate((ours, theirs)):
            updates, states[k] = jax.jit(optimizer.update)(gradient, states[k], params[k])
            params[k] = optax.apply_updates(params[k], updates)
    statistics = [[leaf for leaf in jax.tree.leaves(state) if leaf.ndim] for state in states]
    for mine, other in zip(
        jax.tree.leaves((params[0], statistics[0])), jax.tree.leaves((params[1], statistics[1])), strict=True
    ):
        np.testing.assert_allclose(mine, other, rtol=1e-5)


def test_muon_orthogonalises_the_updates_of_hidden_layers_alone():
    """Muon's update is equal in all directions, whatever the gradient; Adam's has the signs of the gradient."""
    gradient = jax.random.normal(jax.random.key(0), (2, 2, 3, 8)).at[..., 0].multiply(100.0)
    layers = {name: {"kernel": gradient} for name in ("Conv_0", "code", "score")}
    layers["_Keypoints_0"] = {"Conv_0": {"kernel": gradient}, "Conv_2": {"kernel": gradient}}
    layers["Conv_0"]["bias"] = gradient[0, 0, 0]
    optimizer = make_optimizer(settings("muon", {"all": ("encoder", 0.1)}), 10)
    params = {"encoder": layers}
    updates, _ = jax.jit(optimizer.update)(params, jax.jit(optimizer.init)(params), params)

    def spread(update):
        sizes = np.linalg.svd(np.asarray(update).reshape(12, 8), compute_uv=False)
        return sizes.max() / sizes.min()

    found = updates["encoder"]
    for kernel in (found["Conv_0"], found["_Keypoints_0"]["Conv_0"]):
        assert spread(kernel["kernel"]) < 2
    size = abs(float(found["Conv_0"]["bias"][0]))
    for output in (found["code"], found["score"], found["_Keypoints_0"]["Conv_2"]):
        assert spread(output["kernel"]) > 2
        np.testing.assert_allclose(output["kernel"], size * -np.sign(gradient), rtol=1e-3)
    np.testing.assert_allclose(found["Conv_0"]["bias"], size * -np.sign(gradient[0, 0, 0]), rtol=1e-3)
