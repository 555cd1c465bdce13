"""Measures the parts of a training step, and the least time that a machine needs for each part.

A part's floor is the larger of its operations at the speed of a large matrix product and its bytes at
the speed of a streaming triad. Its bytes are those that no program can do without, as nothing of that
size stays in a cache: what goes in is read forward and backward, what comes out is written once.
Activations are left out.

The parts pass gradients to the optimizer as arrays, each written and read once. The step itself keeps the gradients of
its largest matrices as factors (`training.low_rank_gradients`). The bytes that this saves are listed separately, and a
second, stricter floor leaves them out.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import optax

from benchmarks.paper_step import SEED, PaperStep
from fml_jax.face_model.base import geometry, reflectance
from fml_jax.image_formation.points import form_points_of
from fml_jax.losses import Observation
from fml_jax.losses.energies import energy_of_points
from fml_jax.ops.images import unit_range
from fml_jax.training.sharding import COMPILER_OPTIONS
from fml_jax.training.step import step_key

_PRODUCT_SIDE = 4096
_TRIAD_LENGTH = 100_000_000


class Ceilings:
    """What the machine allows, `probe` by probe.

    A shared machine's speed changes from minute to minute. So probes and what is compared with them are timed in
    turn, and of both the median counts: a probe is so short that its best is a moment's, which no step lasts for.
    """

    def __init__(self):
        self._matrix = jnp.ones((_PRODUCT_SIDE, _PRODUCT_SIDE))
        self._x, self._y = jnp.ones(_TRIAD_LENGTH), jnp.ones(_TRIAD_LENGTH)
        self._product = jax.jit(jnp.matmul)
        self._triad = jax.jit(lambda x, y: 0.5 * x + y, donate_argnums=0)
        self._times = []
        self._timed()  # compiles

    def probe(self):
        """Times a float32 matrix product and x ← x/2 + y in place once more."""
        self._times.append(self._timed())

    @property
    def flops(self) -> float:
        """Operations a second of the product."""
        return 2 * _PRODUCT_SIDE**3 / self._medians()[0]

    @property
    def bandwidth(self) -> float:
        """Bytes a second of the triad."""
        return 3 * 4 * _TRIAD_LENGTH / self._medians()[1]

    def _medians(self):
        return [median(column) for column in zip(*self._times, strict=True)]

    def _timed(self):
        def triad():
            self._x = self._triad(self._x, self._y)
            return self._x

        return _seconds(lambda: self._product(self._matrix, self._matrix)), _seconds(triad)


def measured_parts(step: PaperStep, repeats: int, between: Callable[[], None]) -> dict[str, dict]:
    """Name → {"seconds", "flops", "bytes"} of each part, forward and backward, compiled by itself.

    The state is given up.

    Args:
      between: called before each part and after the last.
    """
    parts = {}
    for name, part in _differentiated(step).items():
        between()
        parts[name] = _measured(*part, repeats)
    _, gradient = step.gradients()
    between()
    parts["optimizer"] = _measured_optimizer(step, gradient, repeats)
    between()
    return parts


def _differentiated(step: PaperStep) -> dict[str, tuple[Callable, tuple, tuple]]:
    """Name → (function, what it is differentiated by, its other arguments), as the step calls them."""
    network, params, model = step.network, step.state.params, step.model
    batch = jax.device_put(step.batch)
    crops = jax.jit(unit_range)(batch["crop"])

    def encoder(of_encoder, of_final, crops):
        seen = network.encode({"encoder": of_encoder}, crops)
        return seen.raw, seen.logits, network.final_level_outputs({"final": of_final}, seen)

    seen = jax.jit(network.encode)(params, crops)
    code, corrections = jax.jit(network.final_level)(params, seen, model)

    def both_models(spaces, base, deltas, model):
        shape = jax.vmap(lambda code: geometry(model, code.identity, code.expression))(base)
        skin = jax.vmap(lambda code: reflectance(model, code.reflectance))(base)
        return shape, skin, network.correctives.apply({"params": spaces}, *deltas)

    spaces, deltas = params["correctives"], (code.geometry, code.reflectance)
    shape, skin, _ = jax.jit(both_models)(spaces, code.base, deltas, model)

    def image_formation(shape, skin, corrections, code, topology):
        def one(shape, skin, added, code):
            base = form_points_of(topology, shape, skin, code=code.base)
            final = form_points_of(topology, shape + added.geometry, skin + added.reflectance, code=code.lit)
            return base, final

        return jax.vmap(one)(shape, skin, corrections, code)

    levels = jax.jit(image_formation)(shape, skin, corrections, code, model.topology)
    weights, key = step.stage.full, step_key(SEED, step.state.step)

    def losses(base, final, corrections, code, model, crops, batch, visible):
        def one(base, final, corrections, code, observation, visible):
            base, final = (points._replace(visible=each) for points, each in zip((base, final), visible, strict=True))
            given = {"code": code, "observation": observation, "corrections": corrections}
            return energy_of_points(model, base, final, **given, weights=weights, key=key)[0]

        mask = batch["mask"].astype(jnp.float32)
        observations = Observation(crops, batch["landmarks"], batch["confidence"], mask)
        return jax.vmap(one)(base, final, corrections, code, observations, visible)

    visible = tuple(points.visible for points in levels)
    smooth = tuple(points._replace(visible=None) for points in levels)
    return {
        "encoder": (encoder, (params["encoder"], params["final"]), (crops,)),
        "model": (both_models, (spaces, code.base, deltas), (model,)),
        "image formation": (image_formation, (shape, skin, corrections, code), (model.topology,)),
        "losses": (losses, (*smooth, corrections, code), (model, crops, batch, visible)),
    }


def _measured(function, by, others, repeats) -> dict:
    def gradient(by, others, cotangent):
        values, pullback = jax.vjp(lambda *by: _smooth(function(*by, *others)), *by)
        return values, pullback(cotangent)

    shapes = jax.eval_shape(lambda by, others: _smooth(function(*by, *others)), by, others)
    cotangent = jax.tree.map(lambda shape: jnp.full(shape.shape, 1e-3, shape.dtype), shapes)
    compiled = jax.jit(gradient).lower(by, others, cotangent).compile()
    flops, read, written = _costs(compiled)
    seconds = _median(lambda: compiled(by, others, cotangent), repeats)
    return {"seconds": seconds, "flops": flops, "bytes": 2 * read + written}


def _measured_optimizer(step: PaperStep, gradient, repeats) -> dict:
    """The update and the gradient's norm; the state is donated as the step donates it."""

    def update(state, gradient):
        updates, opt_state = step.optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        norm = optax.tree.norm(jax.lax.optimization_barrier(gradient))
        return state.replace(params=params, opt_state=opt_state), norm

    jitted = jax.jit(update, donate_argnums=0, compiler_options=COMPILER_OPTIONS)
    compiled = jitted.lower(step.state, gradient).compile()
    flops, read, written = _costs(compiled)
    state, seconds = step.state, []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        state, _ = jax.block_until_ready(compiled(state, gradient))
        seconds.append(time.perf_counter() - begin)
    return {"seconds": median(seconds[1:]), "flops": flops, "bytes": read + written}


def _costs(compiled: Any) -> tuple[float, int, int]:
    """Operations of a compiled function, and the bytes of its arguments and of its results."""
    memory = compiled.memory_analysis()
    return compiled.cost_analysis()["flops"], memory.argument_size_in_bytes, memory.output_size_in_bytes


def _smooth(tree):
    """The leaves that can be differentiated."""
    return [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]


def _median(call, repeats):
    _seconds(call)
    return median(_seconds(call) for _ in range(repeats))


def _seconds(call) -> float:
    begin = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - begin
